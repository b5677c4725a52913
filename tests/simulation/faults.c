/* What goes wrong: rates and moments, all from the seed. See sim.h. */
#include "tests/simulation/sim.h"
void faults_choose(struct sim *s)
{
    s->faults = false;
}
void faults_begin(struct sim *s)
{
    (void)s;
}
void faults_end(struct sim *s)
{
    s->faults = false;
}
