{{/* The gateway's environment. */}}

{{/* Redis's address, with $(…) where Kubernetes puts a password. */}}
{{- define "samurai.redisUrl" -}}
{{- $external := .Values.redis.external -}}
{{- $scheme := $external.tls.enabled | ternary "rediss" "redis" -}}
{{- $kind := eq $external.topology "standalone" | ternary "" (printf "+%s" $external.topology) -}}
{{- $password := empty $external.passwordSecret.name | ternary "" ":$(REDIS_PASSWORD)" -}}
{{- $who := printf "%s%s" $external.username $password -}}
{{- $at := empty $who | ternary "" "@" -}}
{{- $path := get (dict "standalone" (printf "/%d" (int $external.database)) "sentinel" (printf "/%s/%d" $external.service (int $external.database)) "cluster" "") $external.topology -}}
{{- $query := list -}}
{{- if $external.tls.caSecret.name -}}{{- $query = append $query "ssl_ca_certs=/etc/samurai-redis/ca.crt" -}}{{- end -}}
{{- if $external.sentinelPasswordSecret.name -}}{{- $query = append $query "sentinel_password=$(REDIS_SENTINEL_PASSWORD)" -}}{{- end -}}
{{- $mark := empty $query | ternary "" "?" -}}
{{- printf "%s%s://%s%s%s%s%s%s" $scheme $kind $who $at (join "," $external.hosts) $path $mark (join "&" $query) -}}
{{- end -}}

{{/* A variable out of a Secret. Arguments: variable, secret (name, key). */}}
{{- define "samurai.fromSecret" -}}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef: {name: {{ .secret.name }}, key: {{ .secret.key }}}
{{- end -}}

{{- define "samurai.redisEnvironment" -}}
{{- $external := .Values.redis.external -}}
{{- if eq .Values.redis.mode "valkey" -}}
{{- if .Values.valkey.passwordSecret.name -}}
{{ include "samurai.fromSecret" (dict "variable" "REDIS_PASSWORD" "secret" .Values.valkey.passwordSecret) }}
{{ end -}}
- name: REDIS_URL
  value: {{ printf "redis://%s%s-valkey:6379/0" (empty .Values.valkey.passwordSecret.name | ternary "" ":$(REDIS_PASSWORD)@") (include "samurai.fullname" .) | quote }}
{{- else if and (eq .Values.redis.mode "external") $external.urlSecret.name -}}
{{ include "samurai.fromSecret" (dict "variable" "REDIS_URL" "secret" $external.urlSecret) }}
{{- else if eq .Values.redis.mode "external" -}}
{{- if $external.passwordSecret.name -}}
{{ include "samurai.fromSecret" (dict "variable" "REDIS_PASSWORD" "secret" $external.passwordSecret) }}
{{ end -}}
{{- if $external.sentinelPasswordSecret.name -}}
{{ include "samurai.fromSecret" (dict "variable" "REDIS_SENTINEL_PASSWORD" "secret" $external.sentinelPasswordSecret) }}
{{ end -}}
- name: REDIS_URL
  value: {{ include "samurai.redisUrl" . | quote }}
{{- end -}}
{{- end -}}

{{- define "samurai.environment" -}}
{{- with include "samurai.redisEnvironment" . }}
{{ . }}
{{- end }}
{{- $secret := include "samurai.secretName" . }}
{{- range $variable, $key := .Values.existingSecretKeys }}
{{ include "samurai.fromSecret" (dict "variable" $variable "secret" (dict "name" $secret "key" $key)) }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "samurai.environmentSources" -}}
{{- $secret := include "samurai.secretName" . -}}
{{- if and $secret (not .Values.existingSecretKeys) }}
- secretRef: {name: {{ $secret }}}
{{- end }}
{{- with .Values.extraEnvFrom }}
{{ toYaml . }}
{{- end }}
{{- end -}}
