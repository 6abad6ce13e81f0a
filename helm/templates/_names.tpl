{{/* Names and labels. */}}

{{- define "samurai.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 44 characters, so that the longest name made of it, with a hash that a StatefulSet adds, stays within 63. */}}
{{- define "samurai.fullname" -}}
{{- $name := include "samurai.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 44 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 44 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 44 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "samurai.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "samurai.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The Secret that the gateway's environment comes from; empty for none. */}}
{{- define "samurai.secretName" -}}
{{- if .Values.externalSecret.enabled -}}
{{- include "samurai.fullname" . -}}
{{- else -}}
{{- .Values.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* What selects pods. Arguments: root, component. */}}
{{- define "samurai.selector" -}}
app.kubernetes.io/name: {{ include "samurai.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* The labels of an object. Arguments: root, component, and, where wanted, labels: more of them. */}}
{{- define "samurai.labels" -}}
{{- $own := include "samurai.selector" . | fromYaml -}}
{{- $chart := dict
      "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_")
      "app.kubernetes.io/version" .root.Chart.AppVersion
      "app.kubernetes.io/managed-by" .root.Release.Service
      "app.kubernetes.io/part-of" "samurai-gateway" -}}
{{- toYaml (merge $own $chart (deepCopy (default dict .labels)) .root.Values.commonLabels) -}}
{{- end -}}

{{/* The head of an object. Arguments: root, component, name, and, where wanted, labels, annotations, namespace. */}}
{{- define "samurai.metadata" -}}
name: {{ .name }}
namespace: {{ .namespace | default .root.Release.Namespace }}
labels:
  {{- include "samurai.labels" . | nindent 2 }}
{{- with merge (deepCopy (default dict .annotations)) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An image's reference. Arguments: image, tag (the default). */}}
{{- define "samurai.image" -}}
{{- $name := empty .image.registry | ternary .image.repository (printf "%s/%s" .image.registry .image.repository) -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .tag .image.tag) -}}
{{- end -}}
{{- end -}}
