/* Texts of /proc, which hold what programs call themselves and their environment: the first byte
 * chooses the parser. */
#include "tests/fuzz/fuzz.h"

#include "launcher/proc_look.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 16)
        return 0;
    char *text = fuzz_text(data + 1, size - 1);
    struct proc_look_process p;
    if (data[0] % 3 == 0) {
        if (proc_look_parse_stat(text, &p))
            REQUIRE(strlen(p.name) < sizeof p.name);
    } else if (data[0] % 3 == 1) {
        (void)proc_look_parse_catches(text, data[0]);
    } else {
        const char *value = proc_look_parse_variable(text, size - 1, "LOCAL_RANK");
        if (value)
            REQUIRE(value > text && value[-1] == '=' && value + strlen(value) < text + size);
    }
    free(text);
    return 0;
}
