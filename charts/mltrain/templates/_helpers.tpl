{{/* All names are fixed: one controller serves a whole cluster, see docs/decisions. */}}

{{- define "mltrain.labels" -}}
{{ include "mltrain.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "mltrain.selector" -}}
app.kubernetes.io/name: mltrain
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* An image by digest, else by tag: include "mltrain.image" (list .Values.image .) */}}
{{- define "mltrain.image" -}}
{{- $image := index . 0 }}{{ $top := index . 1 }}
{{- $image.registry }}/{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $top.Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "mltrain.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* What Pod Security "restricted" asks of a pod, and of a container. */}}
{{- define "mltrain.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "mltrain.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Two controllers for the same jobs would fight over them: the second installation is refused. */}}
{{- define "mltrain.refuseSecond" -}}
{{- $role := lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" "mltrain-controller" }}
{{- if $role }}
{{- $notes := $role.metadata.annotations | default dict }}
{{- $name := index $notes "meta.helm.sh/release-name" | default "" }}
{{- $namespace := index $notes "meta.helm.sh/release-namespace" | default "" }}
{{- if or (ne $name .Release.Name) (ne $namespace .Release.Namespace) }}
{{- if $name }}
{{- fail (printf "mltrain is installed in this cluster already, as release %s in namespace %s. One controller serves all namespaces: use it, or uninstall it first." $name $namespace) }}
{{- else }}
{{- fail "There is a ClusterRole mltrain-controller that Helm did not make: mltrain is installed in this cluster already. One controller serves all namespaces: use it, or remove it first." }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
