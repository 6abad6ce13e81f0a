{{/* The gateway's configuration file. */}}

{{/* What is offered: the accounts, models and keys of `config`, or the sandbox's with the keys of `config`. */}}
{{- define "samurai.offer" -}}
{{- $config := .Values.config -}}
{{- if .Values.sandbox.enabled -}}
{{- $sandbox := .Files.Get "files/sandbox.yaml" | fromYaml -}}
{{- $_ := set $sandbox "keys" (concat $sandbox.keys (default list $config.keys)) -}}
{{- toYaml $sandbox -}}
{{- else -}}
{{- toYaml (dict "accounts" $config.accounts "models" $config.models "keys" (default list $config.keys)) -}}
{{- end -}}
{{- end -}}

{{/* The address that clients see. */}}
{{- define "samurai.baseUrl" -}}
{{- if and .Values.ingress.enabled .Values.ingress.hosts -}}
{{- printf "%s://%s" (empty .Values.ingress.tls | ternary "http" "https") (first .Values.ingress.hosts) -}}
{{- else if and .Values.httpRoute.enabled .Values.httpRoute.hostnames -}}
{{- printf "https://%s" (first .Values.httpRoute.hostnames) -}}
{{- else -}}
{{- printf "http://%s.%s.svc:%d" (include "samurai.fullname" .) .Release.Namespace (int .Values.service.port) -}}
{{- end -}}
{{- end -}}

{{/* The most replicas that there ever are. */}}
{{- define "samurai.replicasMax" -}}
{{- if .Values.autoscaling.enabled -}}{{ int .Values.autoscaling.maxReplicas }}
{{- else if .Values.keda.enabled -}}{{ int .Values.keda.maxReplicas }}
{{- else -}}{{ int .Values.replicaCount }}
{{- end -}}
{{- end -}}

{{/* The fewest. */}}
{{- define "samurai.replicasMin" -}}
{{- if .Values.autoscaling.enabled -}}{{ int .Values.autoscaling.minReplicas }}
{{- else if .Values.keda.enabled -}}{{ int .Values.keda.minReplicas }}
{{- else -}}{{ int .Values.replicaCount }}
{{- end -}}
{{- end -}}

{{/* Whether administration is on: it needs its token, which a sandbox without a Secret has not. */}}
{{- define "samurai.administered" -}}
{{- $token := dig "server" "admin" "token" dict .Values.config -}}
{{- if and $token (or (not .Values.sandbox.enabled) (include "samurai.secretName" .)) -}}true{{- end -}}
{{- end -}}

{{- define "samurai.server" -}}
{{- $server := deepCopy (default dict .Values.config.server) -}}
{{- $public := merge (dict "host" "0.0.0.0" "port" 8080) (default dict $server.public) (dict "base_url" (include "samurai.baseUrl" .)) -}}
{{- $admin := merge (dict "host" "0.0.0.0" "port" 8081) (default dict $server.admin) -}}
{{- if not (include "samurai.administered" .) -}}{{- $_ := unset $admin "token" -}}{{- end -}}
{{- $drain := merge (dict "deadline" (printf "%ss" (include "samurai.drainDeadline" .))) (default dict $server.drain) -}}
{{- range $name, $value := dict "public" $public "admin" $admin "drain" $drain -}}{{- $_ := set $server $name $value -}}{{- end -}}
{{- toYaml $server -}}
{{- end -}}

{{- define "samurai.redisSettings" -}}
{{- $redis := deepCopy (default dict .Values.config.redis) -}}
{{- if eq .Values.redis.mode "embedded" -}}
{{- $_ := set $redis "url" "embedded://" -}}
{{- else -}}
{{- $_ := set $redis "url" (dict "env" "REDIS_URL") -}}
{{- end -}}
{{- toYaml (merge $redis (dict "replicas_max" (include "samurai.replicasMax" . | int))) -}}
{{- end -}}

{{- define "samurai.storeSettings" -}}
{{- $store := deepCopy (default dict .Values.config.store) -}}
{{- if eq .Values.store.mode "object" -}}
{{- $_ := set $store "url" .Values.store.url -}}
{{- if not $store.signing_key -}}{{- $_ := set $store "signing_key" (dict "env" "SAMURAI_SIGNING_KEY") -}}{{- end -}}
{{- else -}}
{{- $_ := set $store "url" "file:///var/lib/samurai/images" -}}
{{- end -}}
{{- toYaml $store -}}
{{- end -}}

{{- define "samurai.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- range $name, $value := include "samurai.offer" . | fromYaml -}}{{- $_ := set $config $name $value -}}{{- end -}}
{{- $_ := set $config "server" (include "samurai.server" . | fromYaml) -}}
{{- $_ := set $config "redis" (include "samurai.redisSettings" . | fromYaml) -}}
{{- $_ := set $config "store" (include "samurai.storeSettings" . | fromYaml) -}}
{{- toYaml $config -}}
{{- end -}}

{{/* What a schema cannot see. */}}
{{- define "samurai.check" -}}
{{- if not (or .Values.config.keys .Values.sandbox.enabled (include "samurai.administered" .)) -}}
{{- fail "nobody could call: put a key under config.keys (`samurai keys new` prints its lines), or leave config.server.admin.token, so that keys can be made while the gateway runs" -}}
{{- end -}}
{{- end -}}

{{/* The files in /etc/samurai. */}}
{{- define "samurai.configData" -}}
gateway.yaml: |
  {{- include "samurai.config" . | nindent 2 }}
{{- if .Values.sandbox.enabled }}
# Made up: the sandbox's vendors accept these and nothing else.
replicate.token: r8_sandbox
openai.token: sk-sandbox-openai
ideogram.token: ideogram-sandbox
{{- end }}
{{- end -}}
