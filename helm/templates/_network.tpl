{{/* Who may reach the gateway, and whom it may reach. Ports are numbers: not every network plugin knows them by name. */}}

{{- define "samurai.ingressRules" -}}
{{- with .Values.networkPolicy.ingress -}}
- ports:
    - {protocol: TCP, port: 8080}
  {{- with .from }}
  from:
    {{- toYaml . | nindent 4 }}
  {{- end }}
- ports:
    - {protocol: TCP, port: 8081}
  from:
    {{- toYaml (default (list (dict "podSelector" dict)) .metricsFrom) | nindent 4 }}
- ports:
    - {protocol: TCP, port: 8080}
    - {protocol: TCP, port: 8081}
  from:
    - podSelector:
        matchLabels:
          {{- include "samurai.selector" (dict "root" $ "component" "test") | nindent 10 }}
{{- with .extra }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "samurai.egressRules" -}}
{{- $egress := .Values.networkPolicy.egress -}}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
  to:
    {{- toYaml $egress.dns | nindent 4 }}
- ports:
    - {protocol: TCP, port: 443}
  to:
    {{- range $cidr := $egress.https.cidrs }}
    - ipBlock:
        cidr: {{ $cidr }}
        {{- $holes := list }}
        {{- range $egress.https.except }}
        {{- if and (eq (contains ":" .) (contains ":" $cidr)) (hasSuffix "/0" $cidr) }}{{ $holes = append $holes . }}{{ end }}
        {{- end }}
        {{- with $holes }}
        except:
          {{- toYaml . | nindent 10 }}
        {{- end }}
    {{- end }}
{{- with include "samurai.redisEgress" . | trim }}
{{ . }}
{{- end }}
{{- if $egress.store.to }}
- ports:
    - {protocol: TCP, port: {{ int $egress.store.port }}}
  to:
    {{- toYaml $egress.store.to | nindent 4 }}
{{- end }}
{{- if eq .Values.workloadIdentity.provider "gke" }}
# Google's metadata server, which hands out the identity; the second address is that of clusters without Dataplane V2.
- ports:
    - {protocol: TCP, port: 80}
    - {protocol: TCP, port: 988}
  to:
    - ipBlock: {cidr: 169.254.169.254/32}
    - ipBlock: {cidr: 169.254.169.252/32}
{{- end }}
{{- with dig "tracing" "otlp_endpoint" "" .Values.config }}
{{- $url := urlParse . }}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (eq $url.scheme "https" | ternary "443" "80") }}
# The collector of traces.
- ports:
    - {protocol: TCP, port: {{ int $port }}}
{{- end }}
{{- with $egress.extra }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "samurai.redisEgress" -}}
{{- if eq .Values.redis.mode "valkey" }}
- ports:
    - {protocol: TCP, port: 6379}
  to:
    - podSelector:
        matchLabels:
          {{- include "samurai.selector" (dict "root" . "component" "valkey") | nindent 10 }}
{{- else if eq .Values.redis.mode "external" }}
{{- $ports := .Values.redis.external.ports }}
{{- range .Values.redis.external.hosts }}
{{- $default := eq $.Values.redis.external.topology "sentinel" | ternary "26379" "6379" }}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default $default) }}
{{- end }}
- ports:
    {{- range $ports | toStrings | uniq | sortAlpha }}
    - {protocol: TCP, port: {{ int . }}}
    {{- end }}
  {{- with .Values.networkPolicy.egress.redis }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}
