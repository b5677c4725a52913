#!/usr/bin/env bash
# A pod of another user finds the launcher and what lies beside it, also where mltrain itself lies below /tmp, of which each container
# has its own; and its launcher is copied where it may not read what lies beside it.
. "$(dirname "$0")/common.sh"
[ "$(id -u)" = 0 ] || skip "needs root: pods run as another user"
mkdir -m 0755 programs && cp "$MLTRAIN_BIN_DIR"/mltrain* programs/ || fail "no copy"
chmod 0755 "$work"
cat >job.yaml <<YAML
apiVersion: mltrain.io/v1alpha1
kind: TrainingJob
metadata: {name: other}
spec:
  framework: plain
  backoffLimit: 0
  workers:
    template:
      spec:
        securityContext: {runAsUser: 65532, runAsNonRoot: true}
        containers:
          - {name: trainer, image: "none:1", command: [sh, -c], args: ['id -u; head -c 4 "$work/programs/mltrain-helper"']}
YAML
timeout 60 programs/mltrain run job.yaml >said 2>&1 || fail "the job: $(cat said)"
grep -q 65532 said || fail "another user: $(cat said)"
grep -aq ELF said || fail "what lies beside the launcher cannot be read: $(cat said)"
chmod 0700 programs/mltrain-helper
timeout 60 programs/mltrain run job.yaml >said 2>&1 || true # head fails, not the launcher's copy
grep -q 65532 said || fail "no rank where the helper cannot be read: $(cat said)"
