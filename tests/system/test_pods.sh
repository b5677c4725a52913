#!/usr/bin/env bash
# What a pod's spec says is what its containers find: environment, files, folders, init containers, exit codes and reasons, grace.
. "$(dirname "$0")/common.sh"
mltrain cluster up --gpus-per-node 2 >/dev/null || fail "up"
dir=$MLTRAIN_HOME/clusters/default
url=https://127.0.0.1:$(cat "$dir/port")/api/v1/namespaces/default
api() { curl -s --cacert "$dir/ca.crt" -H "Authorization: Bearer $(cat "$dir/token")" "$@"; }
# Objects go through kubectl where it is, else as JSON through curl.
if command -v kubectl >/dev/null; then
  create() { (echo "---"; cat) | kubectl --kubeconfig "$dir/kubeconfig" apply -f - >/dev/null; }
else
  create() {
    local text plural
    text=$(python3 -c 'import sys, json, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))' 2>/dev/null) || skip "neither kubectl nor python3-yaml"
    plural=$(jq -r '.kind | ascii_downcase + "s"' <<<"$text")
    api -f -X POST -H 'Content-Type: application/json' -d "$text" "$url/$plural" >/dev/null
  }
fi
pod() { api "$url/pods/$1" | jq -r "$2"; }
pod_is() { [ "$(pod "$1" "$2")" = "$3" ]; }
log_of() { api "$url/pods/$1/log${2:+?container=$2}"; }
delete() { api -X DELETE "$url/pods/$1${2:+?gracePeriodSeconds=$2}" >/dev/null; }

create <<'YAML' || fail "ConfigMap"
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {color: blue, "file.txt": "text of a file\n", "not.an.identifier": x}, binaryData: {bytes: AAEC/w==}}
YAML
create <<'YAML' || fail "Secret"
{apiVersion: v1, kind: Secret, metadata: {name: hidden}, stringData: {password: "s3cret=\"x\""}}
YAML
mkdir host && echo "from the host" >host/file && chmod 777 host
create <<YAML || fail "the pod"
apiVersion: v1
kind: Pod
metadata: {name: all, labels: {tier: "gold"}, annotations: {note: "by hand"}}
spec:
  restartPolicy: Never
  nodeName: node
  initContainers:
    - {name: first, image: none, command: [sh, -c, 'echo one >/shared/first; echo init speaks'], volumeMounts: [{name: shared, mountPath: /shared}]}
    - {name: second, image: none, command: [sh, -c, 'cat /shared/first && echo two >/shared/second'], volumeMounts: [{name: shared, mountPath: /shared}]}
  containers:
    - name: main
      image: none
      workingDir: /shared
      command: [bash, -c]
      args:
        - |
          echo "dir \$PWD"
          echo "plain \$PLAIN, expanded $(echo '$')(PLAIN)/x is \$EXPANDED, escaped \$ESCAPED, unknown \$UNKNOWN, arg \$0 \$1"
          echo "color \$COLOR password \$PASSWORD optional [\${OPTIONAL-unset}]"
          echo "from [\$cm_color] [\$sec_password]"
          echo "fields \$NAME \$NAMESPACE \$NODE \$TIER \$NOTE"
          [ "\$UID_" != "" ] && [ "\$IP" = "\$(hostname -i | awk '{print \$1}')" ] && echo "uid and ip"
          echo "resources \$CPU \$MEMORY"
          cat /config/file.txt; od -An -tx1 /config/bytes; cat /one/renamed; cat /secret/password; echo
          stat -Lc %a /secret/password
          cat /host/file; (echo x >/host/new) 2>/dev/null || echo "host is read-only"
          (echo x >/etc/new) 2>/dev/null || echo "image is read-only"
          cat first second; echo mine >main
          hostname
          for i in 1 2 3 4 5 6 7 8 9 10; do [ -e side ] && break; sleep 0.1; done; cat side
          echo done
        - zero
        - one
      env:
        - {name: PLAIN, value: "a b"}
        - {name: EXPANDED, value: "\$(PLAIN)/x"}
        - {name: ESCAPED, value: "\$\$(PLAIN)"}
        - {name: UNKNOWN, value: "\$(NOBODY)"}
        - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}
        - {name: PASSWORD, valueFrom: {secretKeyRef: {name: hidden, key: password}}}
        - {name: OPTIONAL, valueFrom: {configMapKeyRef: {name: nowhere, key: x, optional: true}}}
        - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
        - {name: UID_, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
        - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
        - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        - {name: TIER, valueFrom: {fieldRef: {fieldPath: "metadata.labels['tier']"}}}
        - {name: NOTE, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['note']"}}}
        - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
        - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: requests.memory, divisor: 1Mi}}}
      envFrom:
        - {prefix: cm_, configMapRef: {name: settings}}
        - {prefix: sec_, secretRef: {name: hidden}}
        - {configMapRef: {name: nowhere, optional: true}}
      resources: {limits: {cpu: 250m, memory: 64Mi}, requests: {cpu: 10m, memory: 32Mi}}
      volumeMounts:
        - {name: shared, mountPath: /shared}
        - {name: config, mountPath: /config}
        - {name: config-one, mountPath: /one}
        - {name: secret, mountPath: /secret}
        - {name: host, mountPath: /host, readOnly: true}
    - {name: side, image: none, command: [sh, -c, 'for i in 1 2 3 4 5 6 7 8 9 10; do [ -e /s/main ] && break; sleep 0.1; done; echo beside >/s/side; echo side speaks'], volumeMounts: [{name: shared, mountPath: /s}]}
  volumes:
    - {name: shared, emptyDir: {}}
    - {name: config, configMap: {name: settings}}
    - {name: config-one, configMap: {name: settings, items: [{key: color, path: renamed}]}}
    - {name: secret, secret: {secretName: hidden, defaultMode: 0400}}
    - {name: host, hostPath: {path: $work/host, type: Directory}}
YAML
eventually 20 pod_is all .status.phase Succeeded || { pod all .status; log_of all main; fail "the pod with everything"; }
log_of all main >log.txt
cat >want.txt <<'TEXT'
dir /shared
plain a b, expanded $(PLAIN)/x is a b/x, escaped $(PLAIN), unknown $(NOBODY), arg zero one
color blue password s3cret="x" optional [unset]
from [blue] [s3cret="x"]
fields all default node gold by hand
uid and ip
resources 250 32
text of a file
 00 01 02 ff
blues3cret="x"
400
from the host
host is read-only
image is read-only
one
two
all
beside
done
TEXT
# (PLAIN) in the shell's words is replaced by the agent too, as Kubernetes does with args.
sed -i 's|expanded \$(PLAIN)/x is|expanded a b/x is|' want.txt
diff want.txt log.txt || fail "the pod found something else"
[ "$(log_of all first)" = "init speaks" ] && [ "$(log_of all side)" = "side speaks" ] || fail "logs of the other containers"
pod_is all '[.status.initContainerStatuses[].state.terminated.exitCode] | tostring' '[0,0]' || fail "init containers' status"

# simple NAME COMMAND [more spec]: one container
simple() {
  create <<YAML || fail "pod $1"
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec:
  restartPolicy: Never
  nodeName: node
  ${3:-}
  containers: [{name: main, image: none, command: [bash, -c, $(jq -Rn --arg s "$2" '$s')]${4:-}}]
YAML
}
terminated='.status.containerStatuses[0].state.terminated'
simple seven 'exit 7'
simple killed "exec sleep 1000.$$"
simple never 'echo never' 'initContainers: [{name: broken, image: none, command: [sh, -c, "echo why; exit 3"]}]'
simple missing 'cat /m/later' 'volumes: [{name: m, configMap: {name: later}}]' ', volumeMounts: [{name: m, mountPath: /m}]'
simple missing-env 'echo $X' '' ', env: [{name: X, valueFrom: {secretKeyRef: {name: later, key: x}}}]'
simple deadline 'sleep 1000' 'activeDeadlineSeconds: 1'
create <<'YAML' || fail "no-command"
{apiVersion: v1, kind: Pod, metadata: {name: no-program}, spec: {nodeName: node, restartPolicy: Never, containers: [{name: main, image: none, command: [/no/such/program]}]}}
YAML
eventually 15 pod_is seven .status.phase Failed || fail "seven"
pod_is seven "$terminated.exitCode" 7 && pod_is seven "$terminated.reason" Error || { pod seven .status; fail "exit code 7"; }
eventually 15 pgrep -fx "sleep 1000.$$" || fail "killed does not run"
kill -9 "$(pgrep -fx "sleep 1000.$$")"
eventually 15 pod_is killed "$terminated.exitCode" 137 || { pod killed .status; fail "killed by signal 9"; }
eventually 15 pod_is never .status.phase Failed || { pod never .status; fail "a failing init container"; }
pod_is never '.status.initContainerStatuses[0].state.terminated.exitCode' 3 || fail "its exit code"
pod_is never "$terminated" null || fail "the container ran after a failed init container"
[ "$(log_of never broken)" = why ] || fail "log of the failed init container"
eventually 15 pod_is no-program .status.phase Failed || { pod no-program .status; fail "no such program"; }
pod no-program "$terminated.message // .status.message // \"\"" | finds -i "no such file" || { pod no-program .status; fail "no-program: no reason"; }
eventually 15 pod_is deadline .status.reason DeadlineExceeded || { pod deadline .status; fail "activeDeadlineSeconds"; }

# What is missing is waited for, with a reason, and comes.
sleep 1
for name in missing missing-env; do
  pod_is $name .status.phase Pending || { pod $name .status; fail "$name does not wait"; }
done
api "$url/events" | jq -r '.items[] | select(.involvedObject.name=="missing") | .message' | finds later || fail "no event says that the ConfigMap is missing"
pod missing-env '.status.containerStatuses[0].state.waiting | .reason + " " + .message' | finds 'CreateContainerConfigError.*later' ||
  { pod missing-env .status; fail "the missing Secret is not the reason"; }
create <<'YAML' || fail "later"
{apiVersion: v1, kind: ConfigMap, metadata: {name: later}, data: {later: came}}
YAML
create <<'YAML' || fail "later"
{apiVersion: v1, kind: Secret, metadata: {name: later}, stringData: {x: came}}
YAML
for name in missing missing-env; do
  eventually 30 pod_is $name .status.phase Succeeded || { pod $name .status; fail "$name did not begin when it could"; }
  [ "$(log_of $name)" = came ] || fail "$name: $(log_of $name)"
done

# Grace: a container that does not listen is killed at its end, and 0 means at once.
simple deaf 'trap "" TERM; echo up; while :; do sleep 0.1; done' 'terminationGracePeriodSeconds: 2'
simple gone 'trap "" TERM; echo up; while :; do sleep 0.1; done' 'terminationGracePeriodSeconds: 100'
for name in deaf gone; do eventually 15 pod_is $name .status.phase Running || fail "$name"; done
says_up() { [ "$(log_of "$1")" = up ]; }
for name in deaf gone; do eventually 5 says_up $name || fail "$name"; done
is_gone() { [ "$(api -o /dev/null -w '%{http_code}' "$url/pods/$1")" = 404 ]; }
begin=$(date +%s%N)
delete deaf
eventually 10 is_gone deaf || fail "deaf is still there"
took=$((($(date +%s%N) - begin) / 1000000))
[ $took -ge 1900 ] && [ $took -lt 8000 ] || fail "a grace of 2 s took $took ms"
delete gone 0
eventually 5 is_gone gone || fail "no grace is grace"

# Memory: the container that goes beyond its limit is ended for it, where this machine has a cgroup for that.
simple hungry 'x=$(head -c 200000000 /dev/zero | tr "\0" x); echo ate ${#x}' '' ', resources: {limits: {memory: 40Mi}}'
ended() { pod_is hungry .status.phase Failed || pod_is hungry .status.phase Succeeded; }
eventually 20 ended || { pod hungry .status; fail "hungry"; }
if pod_is hungry .status.phase Succeeded; then
  echo "SKIP: memory limits: no memory cgroup that we may use here"
else
  pod_is hungry "$terminated.reason" OOMKilled || { pod hungry .status; fail "out of memory is not the reason"; }
fi
