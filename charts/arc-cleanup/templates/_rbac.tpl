{{/*
Who may do what, as one table: a namespace, or none for the whole cluster, and the
rule sets below that are granted there. A grant is as narrow as the scope allows.
*/}}
{{- define "arc-cleanup.table" -}}
{{- $own := .Release.Namespace -}}
{{- $storage := .Values.storageNamespace | default $own -}}
{{- $controllers := .Values.controllerNamespaces | default (list $own) -}}
{{- $releases := ternary ", releases" "" (eq .Values.policy.scaleSets "uninstall") }}
- {in: {{ $own | quote }}, rules: [self]}
- {in: {{ $storage | quote }}, rules: [records]}
{{- if eq .Values.scope "scale-set" }}
{{- range .Values.runnerNamespaces | default (list $own) }}
- {in: {{ . | quote }}, rules: [objects]}
{{- end }}
{{- range $controllers }}
- {in: {{ . | quote }}, rules: [listeners]}
{{- end }}
{{- else if eq .Values.scope "legacy" }}
- {rules: [legacyCRDs, legacyWebhooks, legacyOthers]}
{{- range .Values.watchNamespaces }}
- {in: {{ . | quote }}, rules: [legacyObjects]}
{{- else }}
- {rules: [legacyObjects]}
{{- end }}
{{- if .Values.watchNamespaces }}
- {in: {{ $own | quote }}, rules: [legacyPods]}
{{- end }}
{{- else }}
- {rules: [crds, others]}
{{- if .Values.policy.backup }}
- {in: {{ $own | quote }}, rules: [backup]}
{{- end }}
{{- with .Values.runnerNamespaces | default .Values.watchNamespaces }}
{{- range . }}
- {in: {{ . | quote }}, rules: [objects{{ $releases }}]}
{{- end }}
{{- range $controllers }}
- {in: {{ . | quote }}, rules: [listeners, listenersLeftovers]}
{{- end }}
{{- else }}
- {rules: [objects{{ $releases }}]}
{{- end }}
{{- end }}
{{- end -}}

{{/* The same for the sweep. Which namespaces of scale sets: none for all. */}}
{{- define "arc-cleanup.sweepNamespaces" -}}
{{- $own := ternary (list .Release.Namespace) .Values.watchNamespaces (eq .Values.scope "scale-set") -}}
{{- .Values.runnerNamespaces | default $own | default list | toJson -}}
{{- end -}}

{{/* And of controllers: none for all. */}}
{{- define "arc-cleanup.sweepControllers" -}}
{{- if include "arc-cleanup.sweepNamespaces" . | fromYamlArray -}}
{{- .Values.controllerNamespaces | default (list .Release.Namespace) | toJson -}}
{{- else -}}
[]
{{- end -}}
{{- end -}}

{{- define "arc-cleanup.sweepTable" -}}
- {rules: [sweepAsks]}
{{- range include "arc-cleanup.sweepNamespaces" . | fromYamlArray }}
- {in: {{ . | quote }}, rules: [sweepRunners]}
{{- else }}
- {rules: [sweepRunners]}
{{- end }}
{{- range include "arc-cleanup.sweepControllers" . | fromYamlArray }}
- {in: {{ . | quote }}, rules: [sweepListeners]}
{{- else }}
- {rules: [sweepListeners]}
{{- end }}
{{- end -}}

{{/* The tables' grants, one for each place: it becomes a Role and its RoleBinding in
its namespace, or a ClusterRole and its ClusterRoleBinding if it has none. Outside the
release's namespace the name has that namespace in it, or two releases of the same name
would share it. The colon, allowed in RBAC names only, keeps namespace "a", name "b-c"
apart from "a-b", "c". */}}
{{- define "arc-cleanup.grants" -}}
{{- include "arc-cleanup.grantsOf" (list . "arc-cleanup.table" (include "arc-cleanup.fullname" .)) -}}
{{- end -}}
{{- define "arc-cleanup.sweepGrants" -}}
{{- include "arc-cleanup.grantsOf" (list . "arc-cleanup.sweepTable" (include "arc-cleanup.sweepName" .)) -}}
{{- end -}}
{{- define "arc-cleanup.grantsOf" -}}
{{- $name := index . 2 -}}
{{- $places := dict -}}
{{- $own := (index . 0).Release.Namespace -}}
{{- range include (index . 1) (index . 0) | fromYamlArray -}}
{{- $place := index . "in" | default "" -}}
{{- $_ := set $places $place (concat (index $places $place | default list) .rules) -}}
{{- end -}}
{{- range $place, $rules := $places }}
- name: {{ ternary $name (printf "%s:%s" $own $name) (eq $place $own) | quote }}
  {{- with $place }}
  namespace: {{ . | quote }}
  {{- end }}
  rules: {{ $rules | toJson }}
{{- end }}
{{- end -}}

{{/* self: the hook's own standing, in the release's namespace. */}}
{{- define "arc-cleanup.rules.self" }}
# The Job's start, from which the budget is counted across its Pods.
- apiGroups: [batch]
  resources: [jobs]
  resourceNames: [{{ include "arc-cleanup.fullname" . | quote }}]
  verbs: [get]
# The off switch.
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [arc-cleanup-off]
  verbs: [get]
# The verdict as an Event, since Helm deletes the Job of a hook that succeeded.
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}

{{/* records: Helm's, where it stores them. */}}
{{- define "arc-cleanup.rules.records" }}
# The record of the release: the proof that an uninstall is going on. The revision
# is part of its name, so that the right cannot be given by name.
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [get, list]
{{- end -}}

{{/* backup: only with policy.backup. */}}
{{- define "arc-cleanup.rules.backup" }}
# The Secret that holds the AutoscalingRunnerSets which will be gone, and that of a
# try before.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create]
{{- end -}}

{{/* objects: what ARC leaves behind. */}}
{{- define "arc-cleanup.rules.objects" }}
# ARC's custom resources: deleted, waited for, and freed of ARC's finalizers.
- apiGroups: [actions.github.com]
  resources: [autoscalingrunnersets, autoscalinglisteners, ephemeralrunnersets, ephemeralrunners]
  verbs: [get, list, watch, patch, delete]
# Roles and RoleBindings which ARC protects with a finalizer; those of the
# listeners have no owner, and only a controller would delete them.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, patch, delete]
# ServiceAccounts and Secrets which ARC protects with a finalizer. Those of
# runners and listeners, and their Pods, are deleted when all their owners are
# gone and the garbage collector never learned of these.
- apiGroups: [""]
  resources: [serviceaccounts, secrets]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, delete]
# May ARC's controller still work in the namespace, or would it be waited for in
# vain?
- apiGroups: [authorization.k8s.io]
  resources: [localsubjectaccessreviews]
  verbs: [create]
{{- end -}}

{{/* listeners: what a scale set has in the controller's namespace. */}}
{{- define "arc-cleanup.rules.listeners" }}
# ARC's listeners run beside the controller.
- apiGroups: [actions.github.com]
  resources: [autoscalinglisteners]
  verbs: [get, list, watch, patch, delete]
# Is a controller there that will finish by itself, or does it crash?
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- end -}}

{{/* listenersLeftovers: beside listeners, where objects are in some namespaces only. */}}
{{- define "arc-cleanup.rules.listenersLeftovers" }}
# Listeners' Secrets, ServiceAccounts and Pods, which are deleted when all their
# owners are gone and the garbage collector never learned of these.
- apiGroups: [""]
  resources: [secrets, serviceaccounts, pods]
  verbs: [list, watch, delete]
{{- end -}}

{{/* releases: only with policy.scaleSets=uninstall. */}}
{{- define "arc-cleanup.rules.releases" }}
# Helm's records of the scale sets' releases, in Secrets (see above) or
# ConfigMaps: read to know what a release installed, and deleted with it.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, delete]
# What Helm 3's post-renderer has put beside the scale sets to enrol their hook.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, delete]
{{- end -}}

{{/* others: who else is here, read only. */}}
{{- define "arc-cleanup.rules.others" }}
# Does somebody else in this cluster use ARC's CRDs?
- apiGroups: [actions.github.com]
  resources: [autoscalingrunnersets, autoscalinglisteners, ephemeralrunnersets, ephemeralrunners]
  verbs: [list]
# Which Deployments are controllers of ARC? The containers tell, and whether they
# have a controller's rights.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- include "arc-cleanup.rules.surroundings" . }}
{{- end -}}

{{/* surroundings: what else may be in the way, read only. */}}
{{- define "arc-cleanup.rules.surroundings" }}
# A controller in a namespace that is being deleted uses nothing any more; and
# such a namespace, when ARC's objects held it, is waited for.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
# Webhooks and APIServices that nobody answers would refuse the hook's writes, or
# keep a namespace: they are named.
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingwebhookconfigurations, mutatingwebhookconfigurations]
  verbs: [list]
- apiGroups: [apiregistration.k8s.io]
  resources: [apiservices]
  verbs: [list]
- apiGroups: [""]
  resources: [services]
  verbs: [get]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
{{- end -}}

{{/* crds: the cluster's part of ARC. */}}
{{- define "arc-cleanup.rules.crds" }}
# ARC's four CRDs. List and watch go by name too, with a field selector on
# metadata.name. A schema that refuses the removal of a finalizer is patched.
# With policy.crds=keep there is neither patch nor delete.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames:
    - autoscalingrunnersets.actions.github.com
    - autoscalinglisteners.actions.github.com
    - ephemeralrunnersets.actions.github.com
    - ephemeralrunners.actions.github.com
  verbs: {{ include "arc-cleanup.crdVerbs" . }}
{{- end -}}

{{/* sweepAsks: only with sweep.enabled, for as long as the release is installed. */}}
{{- define "arc-cleanup.rules.sweepAsks" }}
# Has a Deployment that looks like ARC's controller a controller's rights?
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end -}}

{{/* sweepRunners: only with sweep.enabled, where scale sets are. */}}
{{- define "arc-cleanup.rules.sweepRunners" }}
# What is current, and what is not; a tenant's listeners are named.
- apiGroups: [actions.github.com]
  resources: [autoscalingrunnersets, autoscalinglisteners]
  verbs: [list]
# Runner sets that are not their scale set's current one, and runners of those.
- apiGroups: [actions.github.com]
  resources: [ephemeralrunnersets]
  verbs: [get, list, patch, delete]
- apiGroups: [actions.github.com]
  resources: [ephemeralrunners]
  verbs: [get, list, delete]
# Those of listeners that are gone, and those with a finalizer that no controller
# removes.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, patch, delete]
- apiGroups: [""]
  resources: [serviceaccounts, secrets]
  verbs: [get, list, patch]
# Which runners have a job?
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- end -}}

{{/* sweepListeners: only with sweep.enabled, where controllers are. */}}
{{- define "arc-cleanup.rules.sweepListeners" }}
# Listeners that are not their scale set's current one.
- apiGroups: [actions.github.com]
  resources: [autoscalinglisteners]
  verbs: [get, list, delete]
# Does a controller work that will finish what is deleted?
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- end -}}

{{/* legacyObjects: what the legacy controller leaves behind. */}}
{{- define "arc-cleanup.rules.legacyObjects" }}
# Its custom resources: scaled to zero, deleted, waited for, and freed of ARC's
# finalizer.
- apiGroups: [actions.summerwind.dev]
  resources: [horizontalrunnerautoscalers, runnerdeployments, runnerreplicasets, runnersets, runners]
  verbs: [get, list, watch, patch, delete]
# Runners' Pods, which have two of ARC's finalizers; those whose owner is gone are
# deleted.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch, delete]
# Of jobs in Pods of their own, Secrets that nothing owns.
- apiGroups: [""]
  resources: [secrets]
  verbs: [list, delete]
# What else runners own, for the same reason as their Pods.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [list, watch, delete]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [list, watch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [list, watch, delete]
{{- end -}}

{{/* legacyPods: where there is no right to all Pods. */}}
{{- define "arc-cleanup.rules.legacyPods" }}
# Does the controller crash?
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- end -}}

{{/* legacyWebhooks: beyond the right to list them, which surroundings gives. */}}
{{- define "arc-cleanup.rules.legacyWebhooks" }}
# The release's own, which refuse the removal of a finalizer once nobody answers.
# Their names depend on the legacy chart's values.
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingwebhookconfigurations, mutatingwebhookconfigurations]
  verbs: [delete]
{{- end -}}

{{/* legacyOthers: who else is here, read only. */}}
{{- define "arc-cleanup.rules.legacyOthers" }}
# Does somebody else in this cluster use the legacy CRDs?
- apiGroups: [actions.summerwind.dev]
  resources: [horizontalrunnerautoscalers, runnerdeployments, runnerreplicasets, runnersets, runners]
  verbs: [list]
# Which Deployments are legacy controllers? The containers tell, and whether they
# have a controller's rights.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- include "arc-cleanup.rules.surroundings" . }}
{{- end -}}

{{/* legacyCRDs: the cluster's part of legacy ARC. */}}
{{- define "arc-cleanup.rules.legacyCRDs" }}
# As ARC's four CRDs.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames:
    - horizontalrunnerautoscalers.actions.summerwind.dev
    - runnerdeployments.actions.summerwind.dev
    - runnerreplicasets.actions.summerwind.dev
    - runnersets.actions.summerwind.dev
    - runners.actions.summerwind.dev
  verbs: {{ include "arc-cleanup.crdVerbs" . }}
{{- end -}}

{{/* What is done to the CRDs. */}}
{{- define "arc-cleanup.crdVerbs" -}}
[get, list, watch{{ if eq .Values.policy.crds "delete" }}, patch, delete{{ end }}]
{{- end -}}
