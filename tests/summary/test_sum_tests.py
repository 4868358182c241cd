# SPDX-License-Identifier: MIT
"""scripts/sum-tests: what ./check ends with is counted right. The samples are what cmocka 1.1.5, cmocka 1.1.7 and
unittest print."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

SUM_TESTS = sys.argv.pop(1)

CMOCKA_GOOD = "[==========] Running 3 test(s).\n[ RUN      ] a\n[       OK ] a\n[==========] 3 test(s) run.\n"
CMOCKA_BAD = (
    "[==========] name: Running 4 test(s).\n[ RUN      ] b\n"
    "[  ERROR   ] --- 0x1 != 0x2\n[   LINE   ] --- t.c:7: error: Failure!\n[  FAILED  ] b\n"
    "[ RUN      ] c\nCould not run test: Test setup failed\n[  ERROR   ] c\n[==========] name: 4 test(s) run.\n"
    "[  PASSED  ] 1 test(s).\n[  SKIPPED ] name: 1 test(s), listed below:\n[  SKIPPED ] d\n\n 1 SKIPPED TEST(S)\n"
    "[  FAILED  ] name: 1 test(s), listed below:\n[  FAILED  ] b\n\n 2 FAILED TEST(S)\n"
)
RULE = "-" * 70


def record(result="OK", stdout="", stderr="", code=0):
    return {"name": "shard:unit / prog", "result": result, "stdout": stdout, "stderr": stderr, "returncode": code}


class SumTests(unittest.TestCase):
    def sum(self, *records):
        """The three sums, and the lines of what failed."""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "log.json")
            with open(path, "w", encoding="utf-8") as log:
                log.writelines(json.dumps(one) + "\n" for one in records)
            return self.run_on(path)

    def run_on(self, path):
        done = subprocess.run([SUM_TESTS, path], capture_output=True, text=True, check=True)
        *names, sums = done.stdout.splitlines()
        return tuple(map(int, sums.split())), names

    def test_a_program_without_cases_is_one_case(self):
        self.assertEqual(self.sum(record(stdout="hello\n")), ((1, 0, 0), []))

    def test_a_program_that_fails_is_one_failed_case_with_its_status(self):
        sums, names = self.sum(record("FAIL", code=3))
        self.assertEqual((sums, names), ((0, 1, 0), ["shard:unit / prog: fail, exit status 3"]))

    def test_a_program_that_skips_is_skipped(self):
        self.assertEqual(self.sum(record("SKIP", code=77)), ((0, 0, 1), []))

    def test_cmocka_in_two_streams(self):
        self.assertEqual(self.sum(record(stdout=CMOCKA_GOOD, stderr="[  PASSED  ] 3 test(s).\n")), ((3, 0, 0), []))

    def test_cmocka_with_every_outcome(self):
        sums, names = self.sum(record("FAIL", stdout=CMOCKA_BAD, code=2))
        self.assertEqual(sums, (1, 2, 1))
        self.assertEqual(names, ["shard:unit / prog: b", "shard:unit / prog: c"])

    def test_cmocka_groups_add_up(self):
        good = CMOCKA_GOOD + "[  PASSED  ] 3 test(s).\n"
        self.assertEqual(self.sum(record("FAIL", stdout=good + CMOCKA_BAD, code=2))[0], (4, 2, 1))

    def test_a_cmocka_group_whose_setup_failed_is_a_failed_case(self):
        text = "[  FAILED  ] GROUP SETUP\n[  ERROR   ] g\n[==========] g: 0 test(s) run.\n[  PASSED  ] 0 test(s).\n"
        self.assertEqual(self.sum(record("FAIL", stdout=text, code=1))[0], (0, 1, 0))

    def test_a_crash_after_good_cases_is_a_failed_case(self):
        good = CMOCKA_GOOD + "[  PASSED  ] 3 test(s).\n"
        sums, names = self.sum(record("FAIL", stdout=good, code=-11))
        self.assertEqual((sums, names), ((3, 1, 0), ["shard:unit / prog: fail, exit status -11"]))

    def test_unittest_good(self):
        self.assertEqual(self.sum(record(stderr=f"...\n{RULE}\nRan 12 tests in 0.100s\n\nOK\n")), ((12, 0, 0), []))

    def test_unittest_with_every_outcome(self):
        text = (
            f"ERROR: test_c (t.A.test_c)\n{RULE}\nFAIL: test_b (t.A.test_b)\n{RULE}\n"
            f"UNEXPECTED SUCCESS: test_u (t.A.test_u)\n{RULE}\nRan 9 tests in 0.001s\n\n"
            "FAILED (failures=1, errors=1, skipped=2, expected failures=1, unexpected successes=1)\n"
        )
        sums, names = self.sum(record("FAIL", stderr=text, code=1))
        self.assertEqual(sums, (4, 3, 2))
        self.assertEqual(names, [f"shard:unit / prog: test_{x} (t.A.test_{x})" for x in "cbu"])

    def test_a_unittest_case_whose_subtests_fail_is_one_failed_case(self):
        text = "".join(f"FAIL: test_b (t.A.test_b) (n={n})\n{RULE}\n" for n in range(5))
        text += "Ran 3 tests in 0.001s\n\nFAILED (failures=5)\n"
        sums, names = self.sum(record("FAIL", stderr=text, code=1))
        self.assertEqual((sums, names), ((2, 1, 0), ["shard:unit / prog: test_b (t.A.test_b)"]))

    def test_a_unittest_class_whose_setup_fails_is_a_failed_case(self):
        text = f"ERROR: setUpClass (t.A)\n{RULE}\nRan 2 tests in 0.001s\n\nFAILED (errors=1)\n"
        self.assertEqual(self.sum(record("FAIL", stderr=text, code=1))[0], (2, 1, 0))

    def test_unittest_that_skips_all(self):
        text = f"{RULE}\nRan 2 tests in 0.000s\n\nOK (skipped=2)\n"
        self.assertEqual(self.sum(record(stderr=text)), ((0, 0, 2), []))

    def test_unittest_that_finds_no_tests_fails(self):
        text = f"{RULE}\nRan 0 tests in 0.000s\n\nNO TESTS RAN\n"
        self.assertEqual(self.sum(record("FAIL", stderr=text, code=5))[0], (0, 1, 0))

    def test_a_time_out_is_a_failed_case(self):
        self.assertEqual(self.sum(record("TIMEOUT", code=-15))[0], (0, 1, 0))

    def test_programs_add_up(self):
        self.assertEqual(self.sum(record(), record("FAIL", code=1), record("SKIP", code=77))[0], (1, 1, 1))

    def test_a_log_that_is_not_there_is_a_failed_case(self):
        self.assertEqual(self.run_on("/nonexistent/log.json")[0], (0, 1, 0))


unittest.main()
