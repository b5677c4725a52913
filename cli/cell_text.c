/* Pieces of tables and pages: see cell_text.h. */
#include "cli/cell_text.h"

#include "lib/base/clock_text.h"
#include "lib/json/json.h"

int64_t cell_time(const cJSON *object, const char *path)
{
    const char *text = json_string(object, path, NULL);
    int64_t wall_ms;
    return text && mlt_time_parse(text, &wall_ms, NULL) == 0 ? wall_ms : 0;
}

void cell_age(int64_t since_ms, int64_t now_ms, char *text)
{
    if (since_ms)
        mlt_duration_for_people((now_ms - since_ms) / 1000, text);
    else
        text[0] = '\0';
}

void cell_make_harmless(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++) {
        if (*p == 0xC2 && p[1] >= 0x80 && p[1] < 0xA0)
            p[0] = p[1] = '?';
        else if ((*p < 0x20 && *p != '\n') || *p == 0x7F)
            *p = *p == '\t' ? ' ' : '?';
    }
}
