# The gateway as an image: nothing but Python, the locked packages and the program; it runs as nobody in particular,
# needs no shell, and writes to /var/lib/samurai and /tmp only, so the root file system may be read-only.
#
#   docker build -t samurai-gateway .
#   docker run --rm -p 127.0.0.1:8080:8080 samurai-gateway serve --with-sandbox \
#     --config /usr/share/samurai/config/sandbox.yaml --host 0.0.0.0
#
# BASE may be any image with Python 3.11 or newer and its venv module, glibc and CA certificates.
# Everything that is downloaded is pinned by its hash, also what builds the one package that has no wheel.
# An index that needs credentials: --secret id=pip,src=pip.conf; it is seen by the build and never part of the image.
ARG BASE=docker.io/library/python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${BASE} AS build
WORKDIR /src
COPY requirements-image.lock requirements-build.lock ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv /build && python3 -m venv --without-pip /opt/samurai \
    && /build/bin/pip install --no-cache-dir --require-hashes -r requirements-build.lock \
    && /build/bin/pip wheel --no-cache-dir --require-hashes --no-deps --no-build-isolation --wheel-dir /wheels \
       -r requirements-image.lock \
    && /build/bin/pip --python /opt/samurai/bin/python3 install --no-cache-dir --no-index --no-deps /wheels/*.whl
COPY pyproject.toml README.md LICENSE ./
COPY gateway ./gateway
RUN /build/bin/pip wheel --no-cache-dir --no-index --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /build/bin/pip --python /opt/samurai/bin/python3 install --no-cache-dir --no-index --no-deps /wheel/*.whl \
    && mkdir -p /state/images /share && ln -s /var/lib/samurai /share/.samurai

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Samurai Gateway" \
      org.opencontainers.image.description="One OpenAI-compatible endpoint in front of several image vendors, self-hosted." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/samurai/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=build /opt/samurai /opt/samurai
COPY config/gateway.yaml config/schema.json /etc/samurai/
COPY --from=build /share /usr/share/samurai
COPY config /usr/share/samurai/config
COPY --from=build --chown=65532:65532 /state /var/lib/samurai
WORKDIR /var/lib/samurai
USER 65532:65532
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/samurai/bin/samurai"]
CMD ["serve", "--config", "/etc/samurai/gateway.yaml"]
