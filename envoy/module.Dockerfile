# The module as an OCI image, in the form that Istio and Envoy Gateway pull: one layer, plugin.wasm at its root.
# `make image` builds it from dist/, so that the image holds the very module that was tested.
FROM scratch
COPY rest_sessions_filter.wasm /plugin.wasm
