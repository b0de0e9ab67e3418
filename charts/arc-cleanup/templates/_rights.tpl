{{/*
The table of all grants. Each row has the rule sets that the hook gets, and the
namespace in which it gets them; a row without a namespace is for the whole cluster.
Each grant is as narrow as the scope allows.
*/}}
{{- define "arc-cleanup.table" -}}
{{- $own := .Release.Namespace -}}
{{- $storage := .Values.storageNamespace | default $own -}}
{{- $controllers := .Values.controllerNamespaces | default (list $own) -}}
{{- $github := ternary ", github" "" (eq .Values.policy.github "deregister") -}}
{{- $releases := ternary ", releases" "" (eq .Values.policy.scaleSets "uninstall") }}
- {in: {{ $own | quote }}, rules: [self]}
- {in: {{ $storage | quote }}, rules: [records]}
{{- if and $github (ne .Values.scope "legacy") }}
- {in: {{ $own | quote }}, rules: [registered]}
{{- end }}
{{- if eq .Values.scope "scale-set" }}
{{- range .Values.runnerNamespaces | default (list $own) }}
- {in: {{ . | quote }}, rules: [objects{{ $github }}]}
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
- {in: {{ . | quote }}, rules: [objects{{ $github }}{{ $releases }}]}
{{- end }}
{{- range $controllers }}
- {in: {{ . | quote }}, rules: [listeners, listenersLeftovers]}
{{- end }}
{{- else }}
- {rules: [objects{{ $github }}{{ $releases }}]}
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

{{/* The rows of a table, merged into one grant for each namespace. The templates make a Role and
a RoleBinding of a grant, or a ClusterRole and a ClusterRoleBinding if it has no namespace.
Outside the release's namespace the name of a grant contains that namespace, because two
releases may have the same name. The colon, which only RBAC names may have, separates
namespace "a" with name "b-c" from namespace "a-b" with name "c". */}}
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

{{/* self: what the hook needs for itself, in the release's namespace. */}}
{{- define "arc-cleanup.rules.self" }}
# The Job: the budget of all its Pods is counted from its start.
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

{{/* records: Helm's records, in the namespace where Helm stores them. */}}
{{- define "arc-cleanup.rules.records" }}
# The record of the release proves that Helm is uninstalling it. The right is not
# limited to one name, because the name contains the revision.
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [get, list]
{{- end -}}

{{/* backup: only with policy.backup. */}}
{{- define "arc-cleanup.rules.backup" }}
# The Secret for the backup of the AutoscalingRunnerSets. A retried Job reads the one
# that it wrote before.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create]
{{- end -}}

{{/* objects: what ARC leaves behind. */}}
{{- define "arc-cleanup.rules.objects" }}
# ARC's custom resources: the hook deletes them, waits for them, and removes ARC's finalizers.
- apiGroups: [actions.github.com]
  resources: [autoscalingrunnersets, autoscalinglisteners, ephemeralrunnersets, ephemeralrunners]
  verbs: [get, list, watch, patch, delete]
# Roles and RoleBindings that ARC protects with a finalizer. Those of listeners
# have no owner, so without a controller only the hook can delete them.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, patch, delete]
# ServiceAccounts and Secrets that ARC protects with a finalizer. The hook deletes
# those of runners and listeners, and their Pods, if all their owners are gone and the
# garbage collector does not know these owners.
- apiGroups: [""]
  resources: [serviceaccounts, secrets]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, delete]
# May ARC's controller still work in the namespace? If not, the hook does not wait for it.
- apiGroups: [authorization.k8s.io]
  resources: [localsubjectaccessreviews]
  verbs: [create]
{{- end -}}

{{/* listeners: the objects of a scale set in the controller's namespace. */}}
{{- define "arc-cleanup.rules.listeners" }}
# ARC's listeners run beside the controller.
- apiGroups: [actions.github.com]
  resources: [autoscalinglisteners]
  verbs: [get, list, watch, patch, delete]
# Does a controller run there that will finish the deletion, or does it crash?
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- end -}}

{{/* listenersLeftovers: added to listeners if the rule set objects is granted in some namespaces only. */}}
{{- define "arc-cleanup.rules.listenersLeftovers" }}
# Listeners' Secrets, ServiceAccounts and Pods. The hook deletes them if all their
# owners are gone and the garbage collector does not know these owners.
- apiGroups: [""]
  resources: [secrets, serviceaccounts, pods]
  verbs: [list, watch, delete]
{{- end -}}

{{/* github: only with policy.github=deregister. */}}
{{- define "arc-cleanup.rules.github" }}
# The certificate authority of a GitHub Enterprise Server, in a ConfigMap that a scale
# set names. The credentials are in a Secret (see above) that it names.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
{{- end -}}

{{/* registered: only with policy.github=deregister. */}}
{{- define "arc-cleanup.rules.registered" }}
# The Secret that names what is registered at GitHub, until it is removed there. A Pod
# that comes after a killed one reads it.
- apiGroups: [""]
  resources: [secrets]
  verbs: [list, create, delete]
{{- end -}}

{{/* releases: only with policy.scaleSets=uninstall. */}}
{{- define "arc-cleanup.rules.releases" }}
# Helm's records of the scale sets' releases, in ConfigMaps or in Secrets (see above).
# The hook reads what a release installed, and deletes the record with it.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, delete]
# The enroller, which the post-renderer adds to a scale set's release under Helm 3.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, delete]
{{- end -}}

{{/* others: who else uses ARC in this cluster, read only. */}}
{{- define "arc-cleanup.rules.others" }}
# Does another installation in this cluster use ARC's CRDs?
- apiGroups: [actions.github.com]
  resources: [autoscalingrunnersets, autoscalinglisteners, ephemeralrunnersets, ephemeralrunners]
  verbs: [list]
# Which Deployments are controllers of ARC? The hook looks at their containers and at
# their rights.
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
# A controller in a namespace that is being deleted no longer counts. The hook waits
# for such a namespace if ARC's objects held it.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
# Webhooks and APIServices without a server block the hook's writes, or the deletion of
# a namespace. The hook names them.
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

{{/* crds: ARC's CRDs. */}}
{{- define "arc-cleanup.rules.crds" }}
# ARC's four CRDs. List and watch can be granted by name, because the hook selects
# metadata.name. It patches a schema that refuses the removal of a finalizer.
# With policy.crds=keep it may neither patch nor delete.
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
# Runner sets that are not their scale set's current one, if no runner of them has a job.
- apiGroups: [actions.github.com]
  resources: [ephemeralrunnersets]
  verbs: [get, list, patch, delete]
- apiGroups: [actions.github.com]
  resources: [ephemeralrunners]
  verbs: [get, list]
# Those of listeners that are gone, and those with a finalizer that no controller
# removes.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, patch, delete]
- apiGroups: [""]
  resources: [serviceaccounts, secrets]
  verbs: [get, list, patch]
# Which runners have a job, and which Pods use a Secret or a ServiceAccount?
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
# Its custom resources: the hook scales them to zero, deletes them, waits for them,
# and removes ARC's finalizer.
- apiGroups: [actions.summerwind.dev]
  resources: [horizontalrunnerautoscalers, runnerdeployments, runnerreplicasets, runnersets, runners]
  verbs: [get, list, watch, patch, delete]
# Runners' Pods have two of ARC's finalizers. The hook deletes those whose owner is gone.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch, delete]
# Secrets of jobs that run in Pods of their own: they have no owner.
- apiGroups: [""]
  resources: [secrets]
  verbs: [list, delete]
# The runners' other dependents, for the same reason as their Pods.
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

{{/* legacyPods: added if the hook has no right to the Pods of all namespaces. */}}
{{- define "arc-cleanup.rules.legacyPods" }}
# Does the controller crash?
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- end -}}

{{/* legacyWebhooks: the right to delete them; surroundings grants the right to list them. */}}
{{- define "arc-cleanup.rules.legacyWebhooks" }}
# The release's own webhooks. Once their controller is gone, they block the removal of
# finalizers. Their names depend on the legacy chart's values.
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingwebhookconfigurations, mutatingwebhookconfigurations]
  verbs: [delete]
{{- end -}}

{{/* legacyOthers: who else uses legacy ARC in this cluster, read only. */}}
{{- define "arc-cleanup.rules.legacyOthers" }}
# Does another installation in this cluster use the legacy CRDs?
- apiGroups: [actions.summerwind.dev]
  resources: [horizontalrunnerautoscalers, runnerdeployments, runnerreplicasets, runnersets, runners]
  verbs: [list]
# Which Deployments are legacy controllers? The hook looks at their containers and at
# their rights.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- include "arc-cleanup.rules.surroundings" . }}
{{- end -}}

{{/* legacyCRDs: the CRDs of legacy ARC. */}}
{{- define "arc-cleanup.rules.legacyCRDs" }}
# The same rights as for ARC's four CRDs.
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

{{/* The verbs for CRDs. */}}
{{- define "arc-cleanup.crdVerbs" -}}
[get, list, watch{{ if eq .Values.policy.crds "delete" }}, patch, delete{{ end }}]
{{- end -}}
