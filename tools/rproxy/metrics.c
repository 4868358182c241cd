/* SPDX-License-Identifier: MIT */
/* Statistics as Prometheus reads them. */
#include "proxy.h"
#include "stats_json.h"

static void label(struct bytes *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			bytes_string(out, "\\n");
		else if (*text == '"' || *text == '\\')
			bytes_format(out, "\\%c", *text);
		else
			bytes_put(out, text, 1);
	}
}

static void labels(struct bytes *out, const char *pool, const char *kind, const char *name)
{
	bytes_string(out, "{pool=\"");
	label(out, pool);
	if (kind) {
		bytes_format(out, "\",%s=\"", kind);
		label(out, name);
	}
	bytes_string(out, "\"");
}

static void head(struct bytes *out, const char *name, const char *type, const char *help)
{
	bytes_format(out, "# HELP rproxy_%s %s\n# TYPE rproxy_%s %s\n", name, help, name, type);
}

/* ---- numbers ---- */

struct pool_metric {
	const char *name, *type, *help;
	uint64_t (*value)(const struct pool_view *pool);
};

#define OF_POOL(field) \
	static uint64_t pool_##field(const struct pool_view *pool) \
	{ \
		return pool->stats.field; \
	}
OF_POOL(client_accepted)
OF_POOL(client_refused)
OF_POOL(client_eof)
OF_POOL(client_err)
OF_POOL(requests)
OF_POOL(errors)
OF_POOL(forward_error)
OF_POOL(fragments)
OF_POOL(in_bytes)
OF_POOL(out_bytes)

static uint64_t pool_clients(const struct pool_view *pool)
{
	return pool->clients;
}

static const struct pool_metric of_pools[] = {
	{"client_connections", "gauge", "Clients that are connected.", pool_clients},
	{"clients_total", "counter", "Clients that have connected.", pool_client_accepted},
	{"clients_refused_total", "counter", "Clients refused by client_connections.", pool_client_refused},
	{"client_eof_total", "counter", "Clients that have closed their connection.", pool_client_eof},
	{"client_errors_total", "counter", "Connections to clients that have failed.", pool_client_err},
	{"requests_total", "counter", "Requests of clients.", pool_requests},
	{"errors_total", "counter", "Errors that rproxy itself has answered.", pool_errors},
	{"forward_errors_total", "counter", "Requests that no server has answered.", pool_forward_error},
	{"fragments_total", "counter", "Keys of requests that are split.", pool_fragments},
	{"client_in_bytes_total", "counter", "Bytes from clients.", pool_in_bytes},
	{"client_out_bytes_total", "counter", "Bytes to clients.", pool_out_bytes},
};

struct server_metric {
	const char *name, *type, *help;
	uint64_t (*value)(const struct server_view *server);
};

#define OF_SERVER(name, what) \
	static uint64_t server_##name(const struct server_view *server) \
	{ \
		return server->what; \
	}
OF_SERVER(connections, state.connections)
OF_SERVER(ejected, state.ejected)
OF_SERVER(ejections, state.ejections)
OF_SERVER(closed, state.closed)
OF_SERVER(errors, state.errors)
OF_SERVER(late, state.late)
OF_SERVER(requests, state.requests)
OF_SERVER(request_bytes, state.request_bytes)
OF_SERVER(responses, stats.responses)
OF_SERVER(response_bytes, stats.response_bytes)
OF_SERVER(queued, state.queued)
OF_SERVER(sent, state.sent)

static const struct server_metric of_servers[] = {
	{"server_connections", "gauge", "Connections to the server.", server_connections},
	{"server_ejected", "gauge", "1 while it is ejected.", server_ejected},
	{"server_ejections_total", "counter", "Times it was ejected.", server_ejections},
	{"server_eof_total", "counter", "Connections that it has closed.", server_closed},
	{"server_errors_total", "counter", "Connections that have failed or were refused.", server_errors},
	{"server_timeouts_total", "counter", "Connections closed because no answer came in time.", server_late},
	{"server_requests_total", "counter", "Requests to it.", server_requests},
	{"server_request_bytes_total", "counter", "Their bytes.", server_request_bytes},
	{"server_responses_total", "counter", "Answers of it.", server_responses},
	{"server_response_bytes_total", "counter", "Their bytes.", server_response_bytes},
	{"server_in_queue", "gauge", "Requests that are not written yet.", server_queued},
	{"server_out_queue", "gauge", "Requests that it has and has not answered.", server_sent},
};

static void put_value(struct bytes *out, uint64_t value)
{
	bytes_format(out, "} %llu\n", (unsigned long long)value);
}

static void put_pools(struct bytes *out, const struct snapshot *snapshot, const struct pool_metric *metric)
{
	head(out, metric->name, metric->type, metric->help);
	for (size_t i = 0; i < snapshot->pool_count; i++) {
		bytes_format(out, "rproxy_%s", metric->name);
		labels(out, snapshot->pool[i].name, NULL, NULL);
		put_value(out, metric->value(&snapshot->pool[i]));
	}
}

static void put_servers(struct bytes *out, const struct snapshot *snapshot, const struct server_metric *metric)
{
	head(out, metric->name, metric->type, metric->help);
	for (size_t i = 0; i < snapshot->pool_count; i++) {
		for (size_t k = 0; k < snapshot->pool[i].server_count; k++) {
			const struct server_view *server = &snapshot->pool[i].server[k];

			bytes_format(out, "rproxy_%s", metric->name);
			labels(out, snapshot->pool[i].name, "server", server->name);
			put_value(out, metric->value(server));
		}
	}
}

/* ---- histograms ---- */

static void put_histogram(struct bytes *out, const char *name, const char *pool, const char *kind, const char *of,
			  const struct histogram *histogram)
{
	uint64_t sum = 0;

	if (!histogram->count)
		return;
	for (size_t i = 3; i + 1 < HISTOGRAM_BUCKETS; i += 2) {
		sum = 0;
		for (size_t k = 0; k <= i; k++)
			sum += histogram->bucket[k];
		bytes_format(out, "rproxy_%s_bucket", name);
		labels(out, pool, kind, of);
		bytes_format(out, ",le=\"%.6f\"} %llu\n", (double)histogram_limit(i) / 1e6, (unsigned long long)sum);
	}
	bytes_format(out, "rproxy_%s_bucket", name);
	labels(out, pool, kind, of);
	bytes_format(out, ",le=\"+Inf\"} %llu\n", (unsigned long long)histogram->count);
	bytes_format(out, "rproxy_%s_sum", name);
	labels(out, pool, kind, of);
	bytes_format(out, "} %.6f\n", (double)histogram->sum / 1e6);
	bytes_format(out, "rproxy_%s_count", name);
	labels(out, pool, kind, of);
	put_value(out, histogram->count);
}

static void put_latencies(struct bytes *out, const struct snapshot *snapshot)
{
	head(out, "command_seconds", "histogram", "From a request's coming to its answer, by command.");
	for (size_t i = 0; i < snapshot->pool_count; i++)
		for (size_t k = 0; k < command_count(); k++)
			put_histogram(out, "command_seconds", snapshot->pool[i].name, "command", command_name(k),
				      &snapshot->pool[i].latency[k]);
	head(out, "server_seconds", "histogram", "The same by the server that answered.");
	for (size_t i = 0; i < snapshot->pool_count; i++)
		for (size_t k = 0; k < snapshot->pool[i].server_count; k++)
			put_histogram(out, "server_seconds", snapshot->pool[i].name, "server",
				      snapshot->pool[i].server[k].name, &snapshot->pool[i].server[k].stats.latency);
}

void stats_metrics(struct bytes *out, const struct snapshot *snapshot, time_t since)
{
	head(out, "start_time_seconds", "gauge", "When it was started.");
	bytes_format(out, "rproxy_start_time_seconds %lld\n", (long long)since);
	for (size_t i = 0; i < sizeof(of_pools) / sizeof(of_pools[0]); i++)
		put_pools(out, snapshot, &of_pools[i]);
	for (size_t i = 0; i < sizeof(of_servers) / sizeof(of_servers[0]); i++)
		put_servers(out, snapshot, &of_servers[i]);
	put_latencies(out, snapshot);
}
