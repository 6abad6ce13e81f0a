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

{{/* The first of some host names that is one; empty where all are wildcards. */}}
{{- define "samurai.firstHost" -}}
{{- range . -}}{{- if not (hasPrefix "*" .) -}}{{- . -}}{{- break -}}{{- end -}}{{- end -}}
{{- end -}}

{{/* The address that clients see from outside, by Ingress or HTTPRoute; empty without one. */}}
{{- define "samurai.outsideUrl" -}}
{{- $own := dig "server" "public" "base_url" "" .Values.config -}}
{{- $ingress := .Values.ingress.enabled | ternary (include "samurai.firstHost" .Values.ingress.hosts) "" -}}
{{- $route := .Values.httpRoute.enabled | ternary (include "samurai.firstHost" .Values.httpRoute.hostnames) "" -}}
{{- if $own -}}
{{- $own -}}
{{- else if $ingress -}}
{{- printf "%s://%s" (empty .Values.ingress.tls | ternary "http" "https") $ingress -}}
{{- else if $route -}}
{{- printf "https://%s" $route -}}
{{- else if or .Values.ingress.enabled .Values.httpRoute.enabled -}}
{{- fail "config.server.public.base_url is needed: image links are built from it, and every host name given is a wildcard" -}}
{{- end -}}
{{- end -}}

{{/* The address that image links are built from. */}}
{{- define "samurai.baseUrl" -}}
{{- $outside := include "samurai.outsideUrl" . -}}
{{- if $outside -}}
{{- $outside -}}
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

{{/* How much may be on its way. On an emptyDir the gateway sees the node's disk, and whoever outgrows the limit is killed
in the middle of paid work: there it is told half of the limit. Elsewhere it looks at its disk by itself. */}}
{{- define "samurai.admission" -}}
{{- $admission := deepCopy (default dict .Values.config.admission) -}}
{{- $limit := include "samurai.spoolLimit" . -}}
{{- if $limit -}}
{{- $bytes := include "samurai.bytes" $limit | int64 -}}
{{- if not $admission.spool -}}
{{- $_ := set $admission "spool" (printf "%dMiB" (div $bytes 2097152)) -}}
{{- else if ge (include "samurai.bytes" $admission.spool | int64) $bytes -}}
{{- fail (printf "config.admission.spool is %s, but images on their way lie on an emptyDir of %s, and a pod that outgrows it is killed in the middle of paid work. Lower it, raise the limit, or leave it out." $admission.spool $limit) -}}
{{- end -}}
{{- end -}}
{{- toYaml $admission -}}
{{- end -}}

{{/* The limit of the emptyDir that images on their way lie on; empty where they lie on a volume. */}}
{{- define "samurai.spoolLimit" -}}
{{- if eq .Values.store.mode "object" -}}
{{- .Values.tmp.sizeLimit -}}
{{- else if not .Values.persistence.enabled -}}
{{- .Values.persistence.size -}}
{{- end -}}
{{- end -}}

{{/* `2Gi`, `1.5G` or `512MiB` in bytes. */}}
{{- define "samurai.bytes" -}}
{{- $number := regexFind "^[0-9]+([.][0-9]+)?" . | float64 -}}
{{- $unit := regexFind "[A-Za-z]*$" . | trimSuffix "B" -}}
{{- $powers := dict "" 1 "k" 1000 "K" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "P" 1000000000000000
      "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 -}}
{{- mulf $number (get $powers $unit) | floor | int64 -}}
{{- end -}}

{{- define "samurai.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- with include "samurai.admission" . | fromYaml -}}{{- $_ := set $config "admission" . -}}{{- end -}}
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
