#!/usr/bin/env python3
"""check.py FOLDER: looks at what helm has rendered there (default, everything, nothing, oldest .yaml) and at what the
controller says of itself (rights, help). Roles hold exactly what the controller asks for, pods are restricted, what running jobs
know is kept."""
import os
import re
import sys

import yaml

ROOT = os.environ["MLTRAIN_SOURCE_DIR"]
CHART = os.path.join(ROOT, "charts", "mltrain")
HERE = "mltrain-system"


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def find(objects, kind, name, namespace=None):
    found = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name and
             (namespace is None or o["metadata"].get("namespace") == namespace)]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


# ---- rights ----

def roles_of(objects, account):
    """(scope, rules) of every role that is bound to a ServiceAccount."""
    for binding in objects:
        if binding["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
            continue
        if not any(s["kind"] == "ServiceAccount" and s["name"] == account and s["namespace"] == HERE for s in binding["subjects"]):
            continue
        reference, namespace = binding["roleRef"], binding["metadata"].get("namespace")
        in_cluster = binding["kind"] == "ClusterRoleBinding"
        role = find(objects, reference["kind"], reference["name"], None if reference["kind"] == "ClusterRole" else namespace)
        yield "cluster" if in_cluster else "namespace" if namespace == HERE else namespace, role["rules"]


def flat(scope, rules):
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    yield scope, group or "-", resource, verb, "named" if rule.get("resourceNames") else "any"


def asked(text):
    return {tuple(line.split("\t")[:5]) for line in text.splitlines()}


def check_rights(objects, text):
    allowed, wanted = set(), asked(text)
    for scope, rules in roles_of(objects, "mltrain-controller"):
        allowed |= set(flat(scope, rules))
    for right in sorted(wanted - allowed):
        yield "the controller asks for this, and no rule allows it: " + " ".join(right)
    for right in sorted(allowed - wanted):
        yield "a rule allows this, and the controller never asks for it: " + " ".join(right)


def check_roles(objects):
    for role in objects:
        if role["kind"] not in ("Role", "ClusterRole"):
            continue
        name = role["metadata"]["name"]
        for rule in role["rules"]:
            if "nonResourceURLs" in rule:
                yield f"{name}: nonResourceURLs"
            for value in rule.get("apiGroups", []) + rule.get("resources", []) + rule.get("verbs", []):
                if "*" in value:
                    yield f"{name}: a wildcard"
            if set(rule["verbs"]) & {"bind", "escalate", "impersonate"}:
                yield f"{name}: {rule['verbs']}"
            if "secrets" in rule["resources"] and rule["verbs"] != ["create"]:
                yield f"{name}: Secrets may be created, nothing else: {rule['verbs']}"
            if "trainingjobs/status" in rule["resources"] and name != "mltrain-controller":
                yield f"{name}: holds trainingjobs/status"
    for binding in objects:
        if binding["kind"] in ("RoleBinding", "ClusterRoleBinding") and not binding["roleRef"]["name"].startswith("mltrain-"):
            yield f"{binding['metadata']['name']}: binds {binding['roleRef']['name']}"


def check_comments(name, text):
    """What a rule is for stands beside it."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("- apiGroups:") and not lines[number - 1].startswith("# "):
            yield f"{name}:{number + 1}: nothing says what this rule is for"


# ---- objects ----

def pods(objects):
    for o in objects:
        if o["kind"] == "Pod":
            yield o["metadata"]["name"], o["spec"]
        elif o["kind"] in ("Deployment", "Job"):
            yield o["metadata"]["name"], o["spec"]["template"]["spec"]


def check_restricted(name, spec):
    """Pod Security `restricted`, and a root file system that nobody writes to."""
    pod = spec.get("securityContext", {})
    if pod.get("runAsNonRoot") is not True or not pod.get("runAsUser") or pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield f"{name}: {pod}"
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"{name}: {key}"
    for volume in spec.get("volumes", []):
        if not set(volume) - {"name"} <= {"secret", "configMap", "emptyDir"}:
            yield f"{name}: volume {volume}"
    for container in spec["containers"] + spec.get("initContainers", []):
        own = container.get("securityContext", {})
        if own != {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}:
            yield f"{name}/{container['name']}: {own}"
        if not container.get("resources", {}).get("requests"):
            yield f"{name}/{container['name']}: no requests"


def check_kept(objects):
    service = find(objects, "Service", "mltrain-channel")
    if service["spec"].get("selector"):
        yield "the channel's Service has a selector: a standby would be reached"
    for o in [service] + [o for o in objects if o["kind"] == "Secret"]:
        if o["metadata"].get("annotations", {}).get("helm.sh/resource-policy") != "keep":
            yield f"{o['kind']} {o['metadata']['name']}: does not stay, and running jobs know it"
    if any(o["kind"] == "EndpointSlice" for o in objects):
        yield "an EndpointSlice: an upgrade would undo what the leader has written"


def check_arguments(objects, text):
    known = set(re.findall(r"--[a-z-]+", text))
    for name, spec in pods(objects):
        for argument in spec["containers"][0].get("args", []):
            if argument.split("=")[0] not in known:
                yield f"{name}: {argument}: the controller has no such option"


def check_ports(objects):
    container = find(objects, "Deployment", "mltrain-controller")["spec"]["template"]["spec"]["containers"][0]
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    service = find(objects, "Service", "mltrain-channel")["spec"]["ports"]
    # The EndpointSlice names the port as the controller does, and holds the port that it listens on.
    if [(p["name"], p["port"]) for p in service] != [("channel", ports["channel"])]:
        yield f"the channel's Service has {service}"
    if f"--listen=$(POD_IP):{ports['channel']}" not in container["args"]:
        yield "the channel listens elsewhere"
    for probe in ("livenessProbe", "readinessProbe"):
        if container[probe]["httpGet"]["port"] not in ports:
            yield f"{probe} asks a port that is not there"


def check_namespaces(name, objects):
    for o in objects:
        scoped = o["kind"] not in ("ClusterRole", "ClusterRoleBinding", "PriorityClass", "FlowSchema", "TrainingQueue", "CustomResourceDefinition")
        if scoped and o["metadata"].get("namespace") not in (HERE, "kube-node-lease"):
            yield f"{name}: {o['kind']} {o['metadata']['name']} names no namespace"


# ---- values ----

def paths(values, at=""):
    for key, value in values.items():
        yield at + key
        if isinstance(value, dict) and value and not set(value) & {"requests", "limits", "grafana_dashboard"}:
            yield from paths(value, at + key + ".")


def schema_paths(schema, definitions, at=""):
    schema = definitions[schema["$ref"].split("/")[-1]] if "$ref" in schema else schema
    for part in [schema] + schema.get("allOf", []):
        part = definitions[part["$ref"].split("/")[-1]] if "$ref" in part else part
        for key, value in part.get("properties", {}).items():
            yield at + key
            yield from schema_paths(value, definitions, at + key + ".")


def check_values(values, schema):
    told, known = set(paths(values)), set(schema_paths(schema, schema["definitions"])) - {"global", "launcher.image.pullPolicy"}
    for path in sorted(told - known):
        yield f"values.yaml: {path}: the schema does not know it"
    for path in sorted(known - told):
        yield f"values.schema.json: {path}: values.yaml does not show it"


def check_explained(text):
    """Every block of keys begins with words."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if re.match(r"^[a-zA-Z]+:", line) and number and not lines[number - 1].strip():
            yield f"values.yaml:{number + 1}: `{line}` is not explained"


def main():
    folder = sys.argv[1]
    wrong, rendered = [], {}
    for name in ("default", "everything", "nothing", "oldest"):
        rendered[name] = [o for o in yaml.safe_load_all(read(folder, name + ".yaml")) if o]
        wrong += [f"{name}: {words}" for words in check_rights(rendered[name], read(folder, "rights"))]
        for check in (check_roles, check_kept, check_ports):
            wrong += [f"{name}: {words}" for words in check(rendered[name])]
        wrong += check_arguments(rendered[name], read(folder, "help"))
        wrong += check_namespaces(name, rendered[name])
        for pod, spec in pods(rendered[name]):
            wrong += check_restricted(pod, spec)
    for name in sorted(os.listdir(os.path.join(CHART, "templates")) + ["tests/job.yaml"]):
        if name.endswith(".yaml"):
            wrong += check_comments(name, read(CHART, "templates", name))
    import json
    wrong += check_values(yaml.safe_load(read(CHART, "values.yaml")), json.loads(read(CHART, "values.schema.json")))
    wrong += check_explained(read(CHART, "values.yaml"))
    about, version = yaml.safe_load(read(CHART, "Chart.yaml")), read(ROOT, "VERSION").strip()
    if (about["version"], about["appVersion"]) != (version, version):
        wrong.append(f"Chart.yaml: version {about['version']}, appVersion {about['appVersion']}; the project's is {version}")

    everything, nothing = rendered["everything"], rendered["nothing"]
    spec = find(everything, "Deployment", "mltrain-controller")["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == "docker.io/mltrain/controller@sha256:" + "0" * 64, spec["containers"][0]["image"]
    assert "--launcher-image=docker.io/mltrain/launcher:v9" in spec["containers"][0]["args"]
    assert "--launcher-delivery=imageVolume" in spec["containers"][0]["args"]
    plain = find(rendered["default"], "Deployment", "mltrain-controller")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--launcher-delivery=auto" in plain, "the default must work on every cluster"
    assert "--launcher-pull-secret=c" in spec["containers"][0]["args"]
    assert "--topology-level=rack=example.com/rack" in spec["containers"][0]["args"]
    assert spec["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]
    assert find(everything, "PrometheusRule", "mltrain")["spec"] == yaml.safe_load(read(CHART, "files", "alerts.yaml"))
    json.loads(find(everything, "ConfigMap", "mltrain-dashboard")["data"]["mltrain.json"])
    crds = find(everything, "ConfigMap", "mltrain-crds")["data"]
    for name in ("trainingjobs.yaml", "trainingqueues.yaml"):
        assert yaml.safe_load(crds[name]) == yaml.safe_load(read(ROOT, "crds", name)), f"{name} in the hook is another one"
    left = {o["kind"] for o in nothing}
    assert not left & {"Secret", "PodDisruptionBudget", "NetworkPolicy", "FlowSchema", "PriorityClass", "TrainingQueue"}, left

    # The test of the test.
    role = {"kind": "ClusterRole", "metadata": {"name": "x"},
            "rules": [{"apiGroups": ["*"], "resources": ["secrets", "trainingjobs/status"], "verbs": ["get"]}]}
    assert len(list(check_roles([role]))) == 3
    assert list(check_comments("x", "rules:\n- apiGroups: [a]\n"))
    assert list(check_rights(rendered["default"], read(folder, "rights") + "cluster\t-\tsecrets\tget\tany\t\n"))
    short = "\n".join(read(folder, "rights").splitlines()[1:])
    assert list(check_rights(rendered["default"], short))
    assert list(check_restricted("x", {"containers": [{"name": "c"}]}))
    print("\n".join(wrong) or f"{sum(map(len, rendered.values()))} objects are as they should be")
    return 1 if wrong else 0


sys.exit(main())
