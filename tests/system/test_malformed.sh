#!/usr/bin/env bash
# Malformed and hostile objects, through the API and the CLI: each is refused with the field's name, nothing falls over, and a good
# job runs afterwards.
. "$(dirname "$0")/common.sh"
mltrain cluster up >/dev/null || fail "up"
dir=$MLTRAIN_HOME/clusters/default
server=https://127.0.0.1:$(cat "$dir/port")
jobs=/apis/mltrain.io/v1alpha1/namespaces/default/trainingjobs
pid_of() { pgrep -f "$1" | head -1; }
api_pid=$(pid_of "localcluster api --dir $dir ") controller_pid=$(pid_of "mltrain-controller --kubeconfig $dir/")

post() { # TYPE PATH FILE: answers in answer.txt, the code in $code
  code=$(curl -s -o answer.txt -w '%{http_code}' --max-time 20 --cacert "$dir/ca.crt" -H "Authorization: Bearer $(cat "$dir/token")" \
    -H "Content-Type: $1" ${method:+-X "$method"} --data-binary "@$3" "$server$2")
}
# refused WORDS JQ-FILTER: a good job, changed by the filter, is refused with words that match
good=$(jq -n '{apiVersion: "mltrain.io/v1alpha1", kind: "TrainingJob", metadata: {name: "bad"}, spec: {framework: "plain", workers: {replicas: 1,
  template: {spec: {containers: [{name: "trainer", image: "none", command: ["true"]}]}}}}}')
count=0 wrong=0
complain() {
  wrong=$((wrong + 1))
  echo "WRONG: $*" >&2
}
refused() {
  count=$((count + 1))
  jq "$2" <<<"$good" >bad.json || fail "jq $2"
  post application/json "$jobs" bad.json
  case $code in
  400 | 413 | 422) ;;
  *)
    complain "$2: answered $code: $(head -c 300 answer.txt)"
    return
    ;;
  esac
  jq -r '.message[:4000]' answer.txt 2>/dev/null | finds -E -- "$1" || complain "$2: expected words like \`$1\`: $(head -c 500 answer.txt)"
  [ "$(wc -c <answer.txt)" -lt 100000 ] || fail "$2: an answer of $(wc -c <answer.txt) bytes"
}
container='.spec.workers.template.spec.containers[0]'

# Types, one field after the other.
refused 'metadata.name' '.metadata.name = 7'
refused 'metadata.labels' '.metadata.labels = "x"'
refused 'metadata.labels' '.metadata.labels = {a: 7}'
refused 'metadata.annotations' '.metadata.annotations = [1]'
refused 'spec' '.spec = "x"'
refused 'spec.workers' 'del(.spec.workers)'
refused 'spec.workers' '.spec.workers = []'
refused 'spec.workers.replicas' '.spec.workers.replicas = "3"'
refused 'spec.workers.replicas' '.spec.workers.replicas = -1'
refused 'spec.workers.replicas' '.spec.workers.replicas = 1.5'
refused 'spec.workers.replicas' '.spec.workers.replicas = 1000000000'
refused 'spec.workers.replicas' '.spec.workers.replicas = 1e300'
refused 'spec.workers.replicas' '.spec.workers.replicas = null | .spec.workers.replicas = [1]'
refused 'spec.workers.template' '.spec.workers.template = 1'
refused 'spec.workers.template.spec.containers' '.spec.workers.template.spec.containers = {}'
refused 'spec.workers.template.spec.containers' '.spec.workers.template.spec.containers = []'
refused 'spec.nprocPerNode' '.spec.nprocPerNode = -4'
refused 'spec.nprocPerNode' '.spec.nprocPerNode = 100000'
refused 'spec.nprocPerNode' '.spec.nprocPerNode = true'
refused 'spec.framework' '.spec.framework = "jax2"'
refused 'spec.framework' '.spec.framework = {}'
refused 'spec.backoffLimit' '.spec.backoffLimit = -1'
refused 'spec.suspend' '.spec.suspend = "yes"'
refused 'spec.activeDeadlineSeconds' '.spec.activeDeadlineSeconds = -1'
refused 'spec.ttlSecondsAfterFinished' '.spec.ttlSecondsAfterFinished = -1'
refused 'spec.cleanPodPolicy' '.spec.cleanPodPolicy = "Sometimes"'
refused 'spec.progress.*pattern' '.spec.progress = {pattern: "(((", totalSteps: 1}'
refused 'spec.progress.totalSteps' '.spec.progress = {pattern: "step (?<step>\\d+)", totalSteps: -1}'
refused 'spec.checkpoint.path' '.spec.checkpoint = {path: "relative"}'
refused 'spec.failurePolicy.rules' '.spec.failurePolicy = {rules: [{action: "Explode"}]}'
refused 'spec.queue' '.spec.queue = "NOT A NAME"'
refused 'resources' "$container.resources = {limits: {\"nvidia.com/gpu\": \"-1\"}}"
refused 'resources.*cpu' "$container.resources = {requests: {cpu: \"many\"}}"
refused 'resources' "$container.resources = {requests: {memory: \"99999999999999999999Gi\"}}"

# Names.
refused 'metadata.name' '.metadata.name = ""'
refused 'metadata.name' '.metadata.name = "../../etc"'
refused 'metadata.name' '.metadata.name = "größe"'
refused 'line 5.*u0000' '.metadata.name = "a\u0000b"'
refused 'metadata.name' '.metadata.name = ("x" * 300)'
refused 'metadata.namespace|namespace' '.metadata.namespace = "other"'
refused 'API version.*v7' '.apiVersion = "mltrain.io/v7"'
refused 'kind' '.kind = "Deployment"'

# Sizes and shapes of text.
head -c $((2 * 1024 * 1024)) /dev/zero | tr '\0' 'x' >two-mib
jq -c --rawfile big two-mib '.metadata.annotations = {big: $big}' <<<"$good" >bad.json
post application/json "$jobs" bad.json
[ "$code" = 413 ] || [ "$code" = 422 ] || complain "an object of 2 MiB is answered $code: $(head -c 300 answer.txt)"
python3 - >deep.json <<'PY'
print('{"apiVersion":"mltrain.io/v1alpha1","kind":"TrainingJob","metadata":{"name":"deep"},"spec":' + '{"a":' * 50000 + '1' + '}' * 50001)
PY
post application/json "$jobs" deep.json
[ "$code" = 400 ] || [ "$code" = 422 ] || complain "deep nesting is answered $code"
python3 - >laughs.yaml <<'PY'
print("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: laughs}\na: &a [x,x,x,x,x,x,x,x,x]")
for was, name in zip("abcdefgh", "bcdefghi"):
    print(f"{name}: &{name} [" + ",".join(f"*{was}" for _ in range(9)) + "]")
PY
post application/yaml "/api/v1/namespaces/default/configmaps" laughs.yaml
case $code in 400 | 413 | 415 | 422) ;; *) complain "a billion laughs are answered $code" ;; esac
(ulimit -v 4000000; timeout 20 mltrain submit laughs.yaml >out.txt 2>&1)
rc=$?
[ $rc = 1 ] || [ $rc = 2 ] || { head -c 300 out.txt; complain "a billion laughs end mltrain submit with $rc"; }
for text in '' '{' 'null' '[]' '"x"' '7' '{"kind":"TrainingJob"}' '{"apiVersion":"mltrain.io/v1alpha1","kind":"TrainingJob","metadata":null}' \
  '{"a":1,"a":2,}' $'\xff\xfe\x00' '{"apiVersion":"mltrain.io/v1alpha1","kind":"TrainingJob","metadata":{"name":"\ud800"},"spec":{}}'; do
  printf '%s' "$text" >bad.json
  post application/json "$jobs" bad.json
  case $code in 400 | 422) ;; *) complain "\`$text\` is answered $code: $(head -c 300 answer.txt)" ;; esac
done
printf '{"apiVersion":"mltrain.io/v1alpha1",\0"kind":"TrainingJob"}' >bad.json
post application/json "$jobs" bad.json
[ "$code" = 400 ] || complain "NUL bytes are answered $code"
post application/x-www-form-urlencoded "$jobs" bad.json
[ "$code" = 415 ] || complain "a form is answered $code"

# 10,000 variables are many, but a pod may have them: accepted or refused, never a crash, and what is accepted runs.
jq --arg name many-env '.metadata.name = $name | .spec.backoffLimit = 0 |
  '"$container"'.env = [range(10000) | {name: "V\(.)", value: "value \(.)"}] |
  '"$container"'.command = ["sh", "-c", "echo $V0, $V9999"]' <<<"$good" >many.json
post application/json "$jobs" many.json
case $code in
201)
  mltrain wait many-env --timeout 30s >/dev/null || { mltrain describe many-env; complain "the job with 10,000 variables"; }
  mltrain logs many-env | finds "value 0, value 9999" || { mltrain logs many-env --launcher; complain "its variables"; }
  ;;
400 | 413 | 422) ;;
*) complain "10,000 variables are answered $code" ;;
esac
# What the schema lets through and no machine can hold: the job waits or fails with a reason.
jq '.metadata.name = "huge" | .spec.workers.replicas = 1000 | '"$container"'.resources = {requests: {cpu: "9000"}}' <<<"$good" >huge.json
post application/json "$jobs" huge.json
[ "$code" = 201 ] || { case $code in 422) ;; *) complain "huge: $code" ;; esac; }
if [ "$code" = 201 ]; then
  eventually 10 sh -c 'mltrain get huge | grep -q "cpu"' || { mltrain get huge; complain "no reason in numbers for a huge job"; }
fi

# Changes of what is there, and hostile paths.
method=PATCH
plain_job patched 1 1 'sleep 1000' >patched.yaml
mltrain submit patched.yaml >/dev/null || complain "submit"
for patch in '{"spec":{"workers":{"replicas":5}}}' '{"spec":{"workers":null}}' '{"metadata":{"uid":"x"}}' '{"metadata":{"name":"y"}}' '[]'; do
  printf '%s' "$patch" >bad.json
  post application/merge-patch+json "$jobs/patched" bad.json
  case $code in 400 | 409 | 422) ;; *) complain "the patch $patch is answered $code: $(head -c 300 answer.txt)" ;; esac
done
printf '[{"op":"add","path":"/metadata/labels/x/y/z","value":1},{"op":"test","path":"","value":2}]' >bad.json
post application/json-patch+json "$jobs/patched" bad.json
case $code in 400 | 422) ;; *) complain "a JSON patch to nowhere is answered $code" ;; esac
unset method
for path in '/api/v1/namespaces/default/pods/..%2f..%2fetc' '/api/v1/namespaces/%00/pods' '/apis//x' '/api/v1/pods?labelSelector=%3D%3D' \
  '/api/v1/pods?resourceVersion=banana' "/$(head -c 9000 two-mib)" '/api/v1/namespaces/default/pods/x/log?tailLines=-3' '/api/v1/pods?watch=1&resourceVersion=99999999999999999999'; do
  code=$(curl -s --path-as-is -o answer.txt -w '%{http_code}' --max-time 10 --cacert "$dir/ca.crt" -H "Authorization: Bearer $(cat "$dir/token")" "$server$path")
  case $code in 4*) ;; *) complain "${path:0:80} is answered $code" ;; esac
done

# Nobody fell over, and a good job runs.
[ "$(pid_of "localcluster api --dir $dir ")" = "$api_pid" ] || fail "the API server ended"
[ "$(pid_of "mltrain-controller --kubeconfig $dir/")" = "$controller_pid" ] || fail "the controller ended"
mltrain run "$MLTRAIN_SOURCE_DIR/examples/hello/job.yaml" >out.txt 2>err.txt || { cat err.txt; fail "a good job after all this"; }
[ "$(grep -c 'hello from rank' out.txt)" = 4 ] || fail "its output"
[ -z "$(mltrain get | grep -E '^bad ')" ] || fail "a refused job was stored"
echo "$count changed fields were refused"
[ $wrong = 0 ] || fail "$wrong wrong answers"
