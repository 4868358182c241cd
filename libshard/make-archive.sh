#!/bin/sh
# SPDX-License-Identifier: MIT
# make-archive.sh COMPILER... -- INPUT.a OUTPUT.a: one object of all of INPUT, its hidden symbols made local.
set -eu
cc=
while [ "$1" != -- ]; do
	cc="$cc $1"
	shift
done
object=$3.o
trap 'rm -f "$object"' EXIT
# shellcheck disable=SC2086 # a compiler may be several words
$cc -nostdlib -r -o "$object" -Wl,--whole-archive "$2" -Wl,--no-whole-archive
"${OBJCOPY:-objcopy}" --localize-hidden "$object"
rm -f "$3"
"${AR:-ar}" rcs "$3" "$object"
