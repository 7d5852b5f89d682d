# docker build --build-arg COMMIT=$(git rev-parse --short HEAD) -t ara-notification-service .

FROM oven/bun:1.4.5 AS build
WORKDIR /build
COPY package.json bun.lock bunfig.toml tsconfig.json ./
COPY client/package.json client/
RUN bun install --frozen-lockfile --production
COPY scripts scripts
COPY src src
ARG COMMIT=
RUN bun scripts/build.ts /build/ara-notification-service "$COMMIT" && mkdir /build/data

# The C library, certificates and time zones; no shell and no package manager.
FROM gcr.io/distroless/base-nossl-debian13:nonroot
LABEL org.opencontainers.image.title="ara-notification-service" \
      org.opencontainers.image.description="Notifies users now and never loses a notification: REST or Redis in, WebSocket and SSE out" \
      org.opencontainers.image.version="1.0.0" \
      org.opencontainers.image.licenses="MIT"
COPY LICENSE /usr/share/doc/ara-notification-service/LICENSE
COPY --from=build /build/ara-notification-service /usr/local/bin/ara-notification-service
# The one place that the service may write to: mount a volume here for what it shall keep.
COPY --from=build --chown=65532:65532 /build/data /data
WORKDIR /data
USER 65532:65532
EXPOSE 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["/usr/local/bin/ara-notification-service", "health"]
ENTRYPOINT ["/usr/local/bin/ara-notification-service"]
