/* Sends a list of requests to an API server, as many at once as it was told, and says how long that
 * took: what a benchmark of bench/kubernetes compares the controller with. It knows nothing of what
 * it sends, waits for no answer before it sends the next request, and looks at no more than the
 * answers' status, so that little of the time is its own.
 *
 *     writes --server URL --ca FILE [--cert FILE --key FILE] [--token FILE]
 *            [--at-once N] [--http2] < REQUESTS
 *
 * A request is one line of four fields with a tab between: verb, path, content type, body. Over
 * HTTP/1.1 each of the N has a connection of its own, over HTTP/2 they share one. Prints one JSON
 * object: requests, seconds, and of those that were refused the number and the first's answer. */
#include <curl/curl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define AT_ONCE_MAX 1000
#define ANSWER_KEPT 400 /* bytes of a refusal's body that are shown */
#define TOKEN_MAX 8192

struct settings {
    const char *server, *ca, *cert, *key, *token;
    long at_once;
    bool http2;
};

struct lane { /* one request at a time */
    CURL *easy;
    struct curl_slist *json, *patch; /* headers */
    char answer[ANSWER_KEPT + 1];
    size_t answer_length;
};

static struct {
    long sent, refused;
    char refusal[ANSWER_KEPT + 100];
} done;

static void die(const char *what)
{
    (void)fprintf(stderr, "writes: %s\n", what);
    exit(1);
}

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct lane *lane = arg;
    size_t length = size * count, room = ANSWER_KEPT - lane->answer_length;
    size_t kept = length < room ? length : room;
    memcpy(lane->answer + lane->answer_length, data, kept);
    lane->answer_length += kept;
    return length;
}

static struct curl_slist *headers(const char *type, const char *token)
{
    char line[TOKEN_MAX + 64];
    struct curl_slist *list = NULL;
    (void)snprintf(line, sizeof line, "Content-Type: %s", type);
    list = curl_slist_append(list, line);
    list = curl_slist_append(list, "Accept: application/json");
    list = curl_slist_append(list, "Expect:");
    if (token[0]) {
        (void)snprintf(line, sizeof line, "Authorization: Bearer %s", token);
        list = curl_slist_append(list, line);
    }
    return list;
}

static void lane_open(struct lane *lane, const struct settings *s, const char *token)
{
    lane->easy = curl_easy_init();
    if (!lane->easy)
        die("out of memory");
    lane->json = headers("application/json", token);
    lane->patch = headers("application/merge-patch+json", token);
    long version = s->http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;
    (void)curl_easy_setopt(lane->easy, CURLOPT_HTTP_VERSION, version);
    (void)curl_easy_setopt(lane->easy, CURLOPT_PIPEWAIT, s->http2 ? 1L : 0L);
    (void)curl_easy_setopt(lane->easy, CURLOPT_CAINFO, s->ca);
    (void)curl_easy_setopt(lane->easy, CURLOPT_PROXY, "");
    if (s->cert) {
        (void)curl_easy_setopt(lane->easy, CURLOPT_SSLCERT, s->cert);
        (void)curl_easy_setopt(lane->easy, CURLOPT_SSLKEY, s->key);
    }
    (void)curl_easy_setopt(lane->easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(lane->easy, CURLOPT_WRITEDATA, lane);
    (void)curl_easy_setopt(lane->easy, CURLOPT_PRIVATE, lane);
}

/* The field that begins at *at, which then is the next one's begin; `end` is what ends it. */
static char *field(char **at, char end)
{
    char *begin = *at, *stop = strchr(begin, end);
    if (!stop)
        die("a line is not verb, path, content type and body");
    *stop = '\0';
    *at = stop + 1;
    return begin;
}

static void lane_send(struct lane *lane, CURLM *multi, const struct settings *s, char **at)
{
    char url[2048];
    const char *verb = field(at, '\t'), *path = field(at, '\t'), *type = field(at, '\t');
    const char *body = field(at, '\n');
    (void)snprintf(url, sizeof url, "%s%s", s->server, path);
    bool patch = strcmp(type, "application/json") != 0;
    lane->answer_length = 0;
    (void)curl_easy_setopt(lane->easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(lane->easy, CURLOPT_HTTPHEADER, patch ? lane->patch : lane->json);
    (void)curl_easy_setopt(lane->easy, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
    (void)curl_easy_setopt(lane->easy, CURLOPT_POSTFIELDS, body);
    (void)curl_easy_setopt(lane->easy, CURLOPT_CUSTOMREQUEST, verb);
    if (curl_multi_add_handle(multi, lane->easy) != CURLM_OK)
        die("curl takes no more requests");
}

static void count(struct lane *lane, CURLcode code)
{
    long status = 0;
    (void)curl_easy_getinfo(lane->easy, CURLINFO_RESPONSE_CODE, &status);
    done.sent++;
    if (code == CURLE_OK && status < 300)
        return;
    lane->answer[lane->answer_length] = '\0';
    if (done.refused++ == 0)
        (void)snprintf(done.refusal, sizeof done.refusal, "%ld %s %s", status,
                       code == CURLE_OK ? "" : curl_easy_strerror(code), lane->answer);
}

static void run(const struct settings *s, struct lane *lanes, char *requests)
{
    CURLM *multi = curl_multi_init();
    char *at = requests;
    int running = 0;
    long open = 0;
    for (; open < s->at_once && *at; open++)
        lane_send(&lanes[open], multi, s, &at);
    while (open > 0) {
        int left = 0;
        (void)curl_multi_perform(multi, &running);
        for (CURLMsg *m = curl_multi_info_read(multi, &left); m;
             m = curl_multi_info_read(multi, &left)) {
            struct lane *lane = NULL;
            CURLcode code = m->data.result;
            (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &lane);
            (void)curl_multi_remove_handle(multi, lane->easy);
            count(lane, code);
            if (*at)
                lane_send(lane, multi, s, &at);
            else
                open--;
        }
        if (open > 0)
            (void)curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    for (long i = 0; i < s->at_once; i++) {
        curl_easy_cleanup(lanes[i].easy);
        curl_slist_free_all(lanes[i].json);
        curl_slist_free_all(lanes[i].patch);
    }
    (void)curl_multi_cleanup(multi);
}

/* All of a file, with a NUL at the end. */
static char *read_all(FILE *file)
{
    size_t length = 0, size = 1 << 16;
    char *data = malloc(size);
    while (data) {
        length += fread(data + length, 1, size - length - 1, file);
        if (length < size - 1)
            break;
        size *= 2;
        char *more = realloc(data, size);
        if (!more)
            free(data);
        data = more;
    }
    if (!data)
        die("out of memory");
    data[length] = '\0';
    return data;
}

static void read_token(const char *path, char token[TOKEN_MAX])
{
    FILE *file = path ? fopen(path, "re") : NULL;
    token[0] = '\0';
    if (!path)
        return;
    if (!file || !fgets(token, TOKEN_MAX, file))
        die("cannot read the token");
    token[strcspn(token, "\n")] = '\0';
    (void)fclose(file);
}

static struct settings arguments(int argc, char **argv)
{
    static const struct option options[] = {
        {"server", required_argument, NULL, 's'}, {"ca", required_argument, NULL, 'a'},
        {"cert", required_argument, NULL, 'c'},   {"key", required_argument, NULL, 'k'},
        {"token", required_argument, NULL, 't'},  {"at-once", required_argument, NULL, 'n'},
        {"http2", no_argument, NULL, '2'},        {0},
    };
    struct settings s = {.at_once = 16};
    for (int o = getopt_long(argc, argv, "", options, NULL); o != -1;
         o = getopt_long(argc, argv, "", options, NULL)) {
        const char **texts[128] = {
            ['s'] = &s.server, ['a'] = &s.ca, ['c'] = &s.cert, ['k'] = &s.key, ['t'] = &s.token,
        };
        if (o == '?')
            exit(2);
        if (o == 'n')
            s.at_once = strtol(optarg, NULL, 10);
        else if (o == '2')
            s.http2 = true;
        else
            *texts[o] = optarg;
    }
    if (!s.server || !s.ca || s.at_once < 1 || s.at_once > AT_ONCE_MAX)
        die("wants --server and --ca, and 1 to 1000 requests at once");
    return s;
}

/* A text within a JSON string. */
static void print_text(const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            (void)putchar('\\');
        (void)putchar(c < ' ' ? ' ' : c);
    }
}

int main(int argc, char **argv)
{
    struct settings s = arguments(argc, argv);
    char token[TOKEN_MAX];
    read_token(s.token, token);
    char *requests = read_all(stdin);
    struct lane *lanes = calloc((size_t)s.at_once, sizeof *lanes);
    if (!lanes)
        die("out of memory");
    for (long i = 0; i < s.at_once; i++)
        lane_open(&lanes[i], &s, token);
    double begin_s = now_s();
    run(&s, lanes, requests);
    (void)printf("{\"requests\": %ld, \"seconds\": %.6f, \"refused\": %ld, \"refusal\": \"",
                 done.sent, now_s() - begin_s, done.refused);
    print_text(done.refusal);
    (void)printf("\"}\n");
    free(lanes);
    free(requests);
    return 0;
}
