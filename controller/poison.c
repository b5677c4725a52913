/* See poison.h. PURE. */
#include "controller/poison.h"

#include <string.h>

static bool died_there(const struct trainingjob_poison *p, int64_t step)
{
    for (size_t i = 0; i < p->strikes_count; i++)
        if (p->strikes[i].step == step)
            return true;
    return false;
}

enum poison_verdict poison_judge(struct trainingjob_poison *p, const struct poison_failure *f)
{
    if (!f->charged || f->out_of_memory || f->step < 0)
        return POISON_NONE;
    if (p->went_back) /* no further */
        return f->resume_step != p->checkpoint_step && died_there(p, f->step) ? POISON_DATA_OR_CODE
                                                                              : POISON_NONE;
    if (f->resume_step < 0 || f->newest_checkpoint > f->resume_step)
        return POISON_NONE;
    trainingjob_add_strike(p, f->resume_step, f->node, f->step);
    if (p->strikes_count < POISON_STRIKES)
        return POISON_NONE;
    if (p->strikes_count == POISON_STRIKES && f->can_move &&
        strcmp(p->strikes[0].node, p->strikes[1].node) == 0)
        return POISON_MOVE;
    if (!f->has_older)
        return POISON_NO_OLDER;
    p->went_back = true;
    return POISON_GO_BACK;
}

void poison_note_checkpoint(struct trainingjob_poison *p, int64_t step)
{
    for (size_t i = 0; i < p->strikes_count; i++)
        if (p->strikes[i].step >= step)
            return;
    trainingjob_clear_poison(p);
}
