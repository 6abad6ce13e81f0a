{{/* The gateway's pod. */}}

{{- define "samurai.probe" -}}
{{- toYaml (merge (dict "httpGet" (dict "path" .path "port" "admin")) .probe) -}}
{{- end -}}

{{/* The gateway's resources. A pod that may fill an emptyDir asks for a node with so much room. */}}
{{- define "samurai.resources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- $given := or (hasKey $resources.requests "ephemeral-storage") (hasKey $resources.limits "ephemeral-storage") -}}
{{- $limit := include "samurai.spoolLimit" . -}}
{{- if and $limit (not $given) -}}{{- $_ := set $resources.requests "ephemeral-storage" $limit -}}{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{- define "samurai.gatewayContainer" -}}
name: gateway
image: {{ include "samurai.image" (dict "image" .Values.image "tag" .Chart.AppVersion) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [serve, --config, /etc/samurai/gateway.yaml]
{{- with include "samurai.environment" . | trim }}
env:
  {{- . | nindent 2 }}
{{- end }}
{{- with include "samurai.environmentSources" . | trim }}
envFrom:
  {{- . | nindent 2 }}
{{- end }}
ports:
  - {name: http, containerPort: 8080}
  - {name: admin, containerPort: 8081}
startupProbe:
  {{- include "samurai.probe" (dict "path" "/healthz" "probe" .Values.probes.startup) | nindent 2 }}
livenessProbe:
  {{- include "samurai.probe" (dict "path" "/healthz" "probe" .Values.probes.liveness) | nindent 2 }}
readinessProbe:
  {{- include "samurai.probe" (dict "path" "/readyz" "probe" .Values.probes.readiness) | nindent 2 }}
lifecycle:
  preStop:
    exec: {command: [samurai, drain, --config, /etc/samurai/gateway.yaml]}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
resources:
  {{- include "samurai.resources" . | nindent 2 }}
volumeMounts:
  - {name: config, mountPath: /etc/samurai, readOnly: true}
  - {name: state, mountPath: /var/lib/samurai}
  - {name: tmp, mountPath: /tmp}
  {{- if eq .Values.store.mode "sharedVolume" }}
  - {name: images, mountPath: /var/lib/samurai/images}
  {{- end }}
  {{- if .Values.redis.external.tls.caSecret.name }}
  - {name: redis-ca, mountPath: /etc/samurai-redis, readOnly: true}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The sandbox starts before the gateway and ends after it. */}}
{{- define "samurai.sandboxContainer" -}}
name: sandbox
image: {{ include "samurai.image" (dict "image" .Values.image "tag" .Chart.AppVersion) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
restartPolicy: Always
args: [sandbox, --host, 127.0.0.1, --port, "8090", --pace, {{ .Values.sandbox.pace | toString | quote }}]
startupProbe:
  # It listens on loopback, where the kubelet is not.
  exec: {command: [/opt/samurai/bin/python3, -c, "import socket; socket.create_connection(('127.0.0.1', 8090), 2)"]}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 30
livenessProbe:
  exec: {command: [/opt/samurai/bin/python3, -c, "import socket; socket.create_connection(('127.0.0.1', 8090), 2)"]}
  periodSeconds: 30
  timeoutSeconds: 5
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
resources:
  {{- toYaml .Values.sandbox.resources | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
{{- end -}}

{{/* Containers of the user's own: what they do not say of their security, the chart says. */}}
{{- define "samurai.extraContainers" -}}
{{- range .containers }}
{{- $container := deepCopy . }}
{{- $context := default dict $container.securityContext }}
{{- range $name, $value := $.root.Values.securityContext }}
{{- if not (hasKey $context $name) }}{{ $_ := set $context $name $value }}{{ end }}
{{- end }}
{{- $_ := set $container "securityContext" $context }}
- {{- toYaml $container | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "samurai.volumes" -}}
- name: config
  configMap: {name: {{ include "samurai.fullname" . }}-config}
- name: tmp
  emptyDir: {sizeLimit: {{ .Values.tmp.sizeLimit }}}
{{- if not .Values.persistence.enabled }}
- name: state
  emptyDir: {sizeLimit: {{ .Values.persistence.size }}}
{{- end }}
{{- if eq .Values.store.mode "sharedVolume" }}
- name: images
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-images" (include "samurai.fullname" .)) .Values.store.sharedVolume.existingClaim }}
{{- end }}
{{- with .Values.redis.external.tls.caSecret }}
{{- if .name }}
- name: redis-ca
  secret:
    secretName: {{ .name }}
    items: [{key: {{ .key }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "samurai.topologySpread" -}}
{{- if .Values.topologySpreadConstraints -}}
{{- toYaml .Values.topologySpreadConstraints -}}
{{- else if .Values.topologySpread.enabled -}}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: {{ $.Values.topologySpread.whenUnsatisfiable }}
  labelSelector:
    matchLabels:
      {{- include "samurai.selector" (dict "root" $ "component" "gateway") | nindent 6 }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "samurai.podSpec" -}}
serviceAccountName: {{ include "samurai.serviceAccountName" . }}
automountServiceAccountToken: {{ .Values.serviceAccount.automountToken }}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ include "samurai.gracePeriod" . }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or .Values.sandbox.enabled .Values.extraInitContainers }}
initContainers:
  {{- if .Values.sandbox.enabled }}
  - {{- include "samurai.sandboxContainer" . | nindent 4 }}
  {{- end }}
  {{- include "samurai.extraContainers" (dict "root" . "containers" .Values.extraInitContainers) | nindent 2 }}
{{- end }}
containers:
  - {{- include "samurai.gatewayContainer" . | nindent 4 }}
  {{- include "samurai.extraContainers" (dict "root" . "containers" .Values.extraContainers) | nindent 2 }}
volumes:
  {{- include "samurai.volumes" . | nindent 2 }}
{{- with include "samurai.topologySpread" . | trim }}
topologySpreadConstraints:
  {{- . | nindent 2 }}
{{- end }}
{{- range $name := list "affinity" "nodeSelector" "tolerations" "priorityClassName" }}
{{- with index $.Values $name }}
{{ dict $name . | toYaml }}
{{- end }}
{{- end }}
{{- end -}}
