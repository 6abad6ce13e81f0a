{{/* What an installation may well lack, which only those who install it can know. For NOTES.txt. */}}

{{- define "samurai.hints" -}}
{{- if and (ne .Values.service.type "ClusterIP") (not (include "samurai.outsideUrl" .)) }}
* Clients outside the cluster cannot open image links, which begin with {{ include "samurai.baseUrl" . }}: put the
  address of the {{ .Values.service.type }} into config.server.public.base_url.
{{- end }}
{{- $closed := and .Values.networkPolicy.enabled (not .Values.networkPolicy.ingress.metricsFrom) }}
{{- if and .Values.serviceMonitor.enabled $closed }}
* Only a Prometheus in the namespace {{ .Release.Namespace }} can read the metrics: if yours is elsewhere, name its
  namespace in networkPolicy.ingress.metricsFrom.
{{- end }}
{{- if and .Values.prometheusRule.enabled (not .Values.prometheusRule.runbooks) }}
* The alerts' links to their runbooks lead nowhere: set prometheusRule.runbooks to where docs/runbooks can be read.
{{- end }}
{{- if and (eq .Values.ingress.controller "alb") .Values.ingress.enabled $closed }}
* The load balancer of AWS asks port 8081 for health and is not let in: name its subnets in
  networkPolicy.ingress.metricsFrom.
{{- end }}
{{- end -}}
