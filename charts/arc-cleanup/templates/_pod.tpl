{{/* The Pod of the hook and of the sweep, below `template:`. Arguments: the context, the
ServiceAccount, the program's arguments. */}}
{{- define "arc-cleanup.pod" -}}
{{- $account := index . 1 -}}
{{- $args := index . 2 -}}
{{- with index . 0 -}}
metadata:
  labels:
    {{- /* With a sidecar, the Job's Pod would never finish. */}}
    {{- $noSidecar := dict "sidecar.istio.io/inject" "false" "kuma.io/sidecar-injection" "disabled" }}
    {{- $labels := include "arc-cleanup.labels" . | fromYaml }}
    {{- toYaml (merge $labels .Values.podLabels $noSidecar) | nindent 4 }}
  annotations:
    {{- $noSidecar := dict "sidecar.istio.io/inject" "false" "linkerd.io/inject" "disabled" "consul.hashicorp.com/connect-inject" "false" }}
    {{- toYaml (merge (dict) .Values.podAnnotations $noSidecar) | nindent 4 }}
spec:
  serviceAccountName: {{ $account }}
  automountServiceAccountToken: true
  restartPolicy: Never
  terminationGracePeriodSeconds: {{ include "arc-cleanup.terminationSeconds" . }}
  {{- with .Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: cleanup
      image: {{ include "arc-cleanup.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        {{- toYaml $args | nindent 8 }}
      {{- $limited := include "arc-cleanup.memoryLimit" . }}
      {{- if or $limited .Values.env }}
      env:
        {{- if $limited }}
        # Go collects garbage in time to stay below the container's limit. The program
        # reads the limit's MiB as MB, which is 5% less: not all memory is Go's.
        - name: MEMORY_LIMIT
          valueFrom:
            resourceFieldRef:
              resource: limits.memory
              divisor: 1Mi
        - name: GOMEMLIMIT
          value: $(MEMORY_LIMIT)000000
        {{- end }}
        {{- with .Values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      terminationMessagePath: /dev/termination-log
      terminationMessagePolicy: FallbackToLogsOnError
      {{- with .Values.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.extraVolumeMounts }}
      volumeMounts:
        {{- toYaml . | nindent 8 }}
      {{- end }}
  {{- with .Values.extraVolumes }}
  volumes:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end -}}
