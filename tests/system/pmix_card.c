/* pmix_card NUMBER: a PMIx program without MPI, for test_mpi_several.sh, which runs several of them
 * in each rank, one after the other. Each rank says the number of this program, and must hear it of
 * all others: not the one before, and without an error. */
#include <pmix.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    pmix_proc_t self, peer;
    pmix_value_t value, *got;
    pmix_info_t info;
    char text[64];
    bool yes = true;
    int size = atoi(getenv("WORLD_SIZE")), wrong = 0, rc;
    const char *number = argc > 1 ? argv[1] : "";
    if (PMIx_Init(&self, NULL, 0) != PMIX_SUCCESS)
        return 2;
    (void)snprintf(text, sizeof text, "%u.%s", self.rank, number);
    PMIX_VALUE_LOAD(&value, text, PMIX_STRING);
    PMIx_Put(PMIX_GLOBAL, "card", &value);
    PMIx_Commit();
    PMIX_INFO_LOAD(&info, PMIX_COLLECT_DATA, &yes, PMIX_BOOL);
    rc = PMIx_Fence(NULL, 0, &info, 1);
    if (rc != PMIX_SUCCESS && ++wrong)
        printf("rank %u program %s: fence: %s\n", self.rank, number, PMIx_Error_string(rc));
    for (int rank = 0; rank < size; rank++) {
        PMIX_PROC_LOAD(&peer, self.nspace, (unsigned)rank);
        (void)snprintf(text, sizeof text, "%d.%s", rank, number);
        rc = PMIx_Get(&peer, "card", NULL, 0, &got);
        if (rc != PMIX_SUCCESS || strcmp(got->data.string, text) != 0) {
            printf("rank %u program %s: rank %d says %s\n", self.rank, number, rank,
                   rc == PMIX_SUCCESS ? got->data.string : PMIx_Error_string(rc));
            wrong++;
        }
    }
    rc = PMIx_Fence(NULL, 0, NULL, 0);
    if (rc != PMIX_SUCCESS && ++wrong)
        printf("rank %u program %s: second fence: %s\n", self.rank, number, PMIx_Error_string(rc));
    PMIx_Finalize(NULL, 0);
    if (wrong == 0)
        printf("program %s is well\n", number);
    return wrong > 0;
}
