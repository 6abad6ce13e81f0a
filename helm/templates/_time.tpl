{{/* Durations, in whole seconds, rounded up. */}}

{{/* `500ms`, `30s`, `5m` or `24h` in seconds. */}}
{{- define "samurai.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | float64 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $factor := get (dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0) $unit -}}
{{- mulf $number $factor | ceil | int -}}
{{- end -}}

{{/* The longest that any model may take; 180 s is what a model has that names none. */}}
{{- define "samurai.longestDeadline" -}}
{{- $longest := 0 -}}
{{- range (include "samurai.offer" . | fromYaml).models -}}
{{- $longest = max $longest (include "samurai.seconds" (default "180s" .deadline) | int) -}}
{{- end -}}
{{- $longest -}}
{{- end -}}

{{/* How long a gateway that ends goes on listening. */}}
{{- define "samurai.drainDelay" -}}
{{- include "samurai.seconds" (dig "server" "drain" "delay" "10s" .Values.config) -}}
{{- end -}}

{{/* How long it then finishes what was begun: as configured, else a little more than the longest deadline. */}}
{{- define "samurai.drainDeadline" -}}
{{- $longest := include "samurai.longestDeadline" . | int -}}
{{- $given := dig "server" "drain" "deadline" "" .Values.config -}}
{{- if not $given -}}
{{- add $longest 20 -}}
{{- else -}}
{{- $seconds := include "samurai.seconds" $given | int -}}
{{- if lt $seconds $longest -}}
{{- fail (printf "config.server.drain.deadline is %s, but a model may take %ds: a restart would cut paid requests off. Raise it, or leave it out." $given $longest) -}}
{{- end -}}
{{- $seconds -}}
{{- end -}}
{{- end -}}

{{/* From the order to end until the kill. */}}
{{- define "samurai.gracePeriod" -}}
{{- $needed := add (include "samurai.drainDelay" .) (include "samurai.drainDeadline" .) | int -}}
{{- $given := .Values.terminationGracePeriodSeconds -}}
{{- if kindIs "invalid" $given -}}
{{- add $needed 30 -}}
{{- else -}}
{{- if le (int $given) $needed -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, but draining may take %d: a kill in the middle loses what was paid for. Give it more, or null." (int $given) $needed) -}}
{{- end -}}
{{- int $given -}}
{{- end -}}
{{- end -}}

{{/* How long a proxy waits for an answer. Argument: root, given. */}}
{{- define "samurai.proxyTimeout" -}}
{{- $longest := include "samurai.longestDeadline" .root | int -}}
{{- if kindIs "invalid" .given -}}
{{- add $longest 30 -}}
{{- else -}}
{{- if lt (int .given) $longest -}}
{{- fail (printf "%s is %d, but a model may take %ds: the proxy would cut off requests that are paid for. Raise it, or give null." .name (int .given) $longest) -}}
{{- end -}}
{{- int .given -}}
{{- end -}}
{{- end -}}
