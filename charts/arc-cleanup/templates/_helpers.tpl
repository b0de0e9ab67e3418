{{/* The name of the Job, the ServiceAccount and all other objects in the release's
namespace. It has up to 63 characters. It differs for each release and scope in the
namespace, because the scope is at the end. A dot becomes a dash, because a name must not
have a dot beside a dash. A name that is changed or cut ends with a hash of the whole name. */}}
{{- define "arc-cleanup.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- if ne .Values.scope "controller" -}}
{{- $name = printf "%s-%s" $name .Values.scope -}}
{{- end -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- $room := sub 62 (len $name) | int -}}
{{- if or (ne $release .Release.Name) (gt (len $release) $room) -}}
{{- $hash := .Release.Name | sha256sum | trunc 8 -}}
{{- $release = printf "%s-%s" ($release | trunc (sub $room 9 | int)) $hash -}}
{{- end -}}
{{- printf "%s-%s" $release $name -}}
{{- end -}}
{{- end -}}

{{/* Name of the sweep's objects. A CronJob's name has up to 52 characters. */}}
{{- define "arc-cleanup.sweepName" -}}
{{- $name := include "arc-cleanup.fullname" . -}}
{{- if gt (len $name) 46 -}}
{{- $name = printf "%s-%s" ($name | trunc 37 | trimSuffix "-") ($name | sha256sum | trunc 8) -}}
{{- end -}}
{{- printf "%s-sweep" $name -}}
{{- end -}}

{{/* The name label never changes: arc-cleanup recognises its hooks by this label and the hook
annotation, whatever they are called. */}}
{{- define "arc-cleanup.labels" -}}
app.kubernetes.io/name: arc-cleanup
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "arc-cleanup-%s" .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The argument is the weight. before-hook-creation is always needed: without it, Helm fails
if an interrupted uninstall has left the object behind. */}}
{{- define "arc-cleanup.hookAnnotations" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* Metadata of the ServiceAccount, of the List of rights and of each item. The arguments are the
weight and the context. */}}
{{- define "arc-cleanup.rightsMetadata" -}}
labels:
  {{- include "arc-cleanup.labels" (index . 1) | nindent 2 }}
annotations:
  {{- include "arc-cleanup.hookAnnotations" (index . 0) | nindent 2 }}
{{- end -}}

{{/* The seconds of a duration such as 1h2m3s. The schema checks the form. */}}
{{- define "arc-cleanup.seconds" -}}
{{- $h := regexFind "[0-9]+h" . | trimSuffix "h" | int -}}
{{- $m := regexFind "[0-9]+m" . | trimSuffix "m" | int -}}
{{- $s := regexFind "[0-9]+s" . | trimSuffix "s" | int -}}
{{- add (mul $h 3600) (mul $m 60) $s -}}
{{- end -}}

{{/* Each wait must end before the one around it, so that the hook can report:
grace < budget < the Job's deadline < Helm's timeout. */}}
{{- define "arc-cleanup.checkTimes" -}}
{{- $grace := include "arc-cleanup.seconds" .Values.policy.grace | int -}}
{{- $budget := include "arc-cleanup.seconds" .Values.policy.budget | int -}}
{{- $deadline := .Values.activeDeadlineSeconds | int -}}
{{- $timeout := .Values.helmTimeoutSeconds | int -}}
{{- if ge $grace $budget -}}
{{- fail (printf "policy.grace (%s) must be shorter than policy.budget (%s)" .Values.policy.grace .Values.policy.budget) -}}
{{- end -}}
{{- if ge $budget $deadline -}}
{{- fail (printf "policy.budget (%s) must be shorter than activeDeadlineSeconds (%d), or the Job ends before it can report" .Values.policy.budget $deadline) -}}
{{- end -}}
{{- $termination := include "arc-cleanup.terminationSeconds" . | int -}}
{{- if gt (add $deadline $termination | int) $timeout -}}
{{- fail (printf "activeDeadlineSeconds (%d) and the %d s in which the hook's Pod ends must fit into Helm's timeout (%d s): for a longer cleanup set helmTimeoutSeconds, and give helm uninstall the same --timeout" $deadline $termination $timeout) -}}
{{- end -}}
{{- end -}}

{{/* How many seconds the hook's Pod may take to end after the signal. The hook needs less than
10 s. Since Kubernetes 1.31 a Job fails only after its Pods have ended. */}}
{{- define "arc-cleanup.terminationSeconds" -}}15{{- end -}}

{{/* A chart that was not published must not use the image of the default name: anyone may own that
name later, and the image would run with the hook's rights. */}}
{{- define "arc-cleanup.image" -}}
{{- with .Values.image -}}
{{- if not (or .digest (ne .repository "ghcr.io/arc-cleanup/arc-hookjob")) -}}
{{- fail "this chart is not a published one, so it has no image: build one (make image, make image-oci), push it to your registry, and set the value image.repository to its name (of a dependency: arc-cleanup.image.repository; for the post-renderer and enrol: export ARC_CLEANUP_SET=image.repository=NAME)" -}}
{{- end -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The memory limit for Go; empty if the container has none, or if env sets it. */}}
{{- define "arc-cleanup.memoryLimit" -}}
{{- $limit := "" -}}
{{- with .Values.resources -}}
{{- with .limits -}}
{{- $limit = .memory | default "" -}}
{{- end -}}
{{- end -}}
{{- range .Values.env -}}
{{- if or (eq .name "GOMEMLIMIT") (eq .name "MEMORY_LIMIT") -}}
{{- $limit = "" -}}
{{- end -}}
{{- end -}}
{{- $limit -}}
{{- end -}}
