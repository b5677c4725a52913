/* Runs a fuzz driver over every file of the folders given as arguments, and says how many there
 * were: so a corpus is a normal test, in every build. With the fuzz preset libFuzzer brings its own
 * main(). */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX (1024 * 1024) /* bytes of one file */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *buffer = malloc(INPUT_MAX);
    if (!file || !buffer) {
        perror(path);
        exit(1);
    }
    size_t size = fread(buffer, 1, INPUT_MAX, file);
    (void)fclose(file);
    /* An exact copy, so that a sanitizer sees a read beyond the end. */
    uint8_t *exact = malloc(size > 0 ? size : 1);
    if (!exact) {
        perror(path);
        exit(1);
    }
    memcpy(exact, buffer, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    free(buffer);
    return 1;
}

static int run_folder(const char *folder)
{
    struct dirent **names;
    int count = scandir(folder, &names, NULL, alphasort), done = 0;
    if (count < 0) {
        perror(folder);
        exit(1);
    }
    for (int i = 0; i < count; i++) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            done += run_file(path);
        free(names[i]);
    }
    free(names);
    return done;
}

int main(int argc, char **argv)
{
    int done = 0;
    for (int i = 1; i < argc; i++)
        done += run_folder(argv[i]);
    printf("%d inputs\n", done);
    return done > 0 ? 0 : 1;
}
