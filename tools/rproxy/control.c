/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "log.h"
#include "options.h"
#include "report.h"
#include "worker.h"

struct control {
	struct config *config;
	struct worker **worker;
	unsigned started;
	struct report *report;
	int signal_fd;
	bool over;
};

static void signal_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTTIN);
	sigaddset(set, SIGTTOU);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGUSR1);
	sigaddset(set, SIGUSR2);
}

void control_block_signals(void)
{
	sigset_t set;

	signal_set(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

void control_free(struct control *control)
{
	report_stop(control->report);
	for (unsigned i = 0; i < control->started; i++)
		worker_stop(control->worker[i]);
	for (unsigned i = 0; i < control->started; i++)
		worker_join(control->worker[i]);
	if (control->signal_fd >= 0)
		close(control->signal_fd);
	free(control->worker);
	config_unuse(control->config);
	free(control);
}

struct control *control_create(struct config *config)
{
	struct control *control = calloc(1, sizeof(*control));
	sigset_t set;

	if (!control)
		return NULL;
	signal_set(&set);
	control->config = config;
	control->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	control->worker = calloc(config->threads, sizeof(struct worker *));
	for (; control->worker && control->started < config->threads; control->started++) {
		struct worker *worker = worker_create(control->started, config);

		if (!worker || !worker_start(worker))
			break;
		control->worker[control->started] = worker;
	}
	if (control->signal_fd >= 0 && control->started == config->threads &&
	    report_start(&control->report, control->worker, control->started))
		return control;
	control_free(control);
	return NULL;
}

/* The old one stays where the new one is wrong. */
static void reload(struct control *control)
{
	struct config *config;

	if (!options.conf_file) {
		log_notice("there is no file to read again");
		return;
	}
	config = config_load(&options);
	if (!config || !config_listen(config, control->config)) {
		if (config)
			config_return(config, control->config);
		config_unuse(config);
		log_error("%s: not taken, what was served before is served on", options.conf_file);
		return;
	}
	for (unsigned i = 0; i < control->started; i++)
		worker_reload(control->worker[i], config);
	config_unuse(control->config);
	control->config = config;
	log_notice("%s: read again, %zu pool%s", options.conf_file, config->pool_count,
		   config->pool_count == 1 ? "" : "s");
}

static void take_signal(struct control *control, int number)
{
	switch (number) {
	case SIGTTIN:
		log_level_change(1);
		break;
	case SIGTTOU:
		log_level_change(-1);
		break;
	case SIGUSR1:
		reload(control);
		break;
	case SIGHUP:
		log_reopen();
		break;
	case SIGINT:
	case SIGTERM:
		log_notice("ends: %s", strsignal(number));
		control->over = true;
		break;
	}
}

static void take_signals(struct control *control)
{
	struct signalfd_siginfo info;

	while (read(control->signal_fd, &info, sizeof(info)) == sizeof(info))
		take_signal(control, (int)info.ssi_signo);
}

void control_run(struct control *control)
{
	while (!control->over) {
		struct pollfd fds[] = {{.fd = control->signal_fd, .events = POLLIN}};

		if (poll(fds, 1, -1) < 0 && errno != EINTR)
			break;
		take_signals(control);
	}
	control_free(control);
}
