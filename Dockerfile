# emailrelay in a container: not root, the root file system may be read-only, mail in a volume.
#
#   docker build -t emailrelay .
#   docker run --read-only --cap-drop=all -p 25:10025 -v mail:/var/spool/emailrelay \
#     -e EMAILRELAY_FORWARD_TO=smtp.example.com:25 -e EMAILRELAY_FORWARD_ON_DISCONNECT=yes emailrelay
#
# Every option but the port is a variable EMAILRELAY_<OPTION>; EMAILRELAY_<OPTION>_FILE names a file that holds the value, as secrets
# do. Options may also be given behind the image's name. The port is fixed: publish it as another one. (Kubernetes gives
# EMAILRELAY_PORT a meaning of its own where a service is called emailrelay.)

FROM debian:bookworm-slim AS build
WORKDIR /src
COPY scripts/install-deps scripts/
RUN scripts/install-deps --build && rm -rf /var/lib/apt/lists/*
COPY . .
RUN cmake -S . -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release -DEMAILRELAY_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/usr \
      -DCMAKE_INSTALL_SYSCONFDIR=/etc -DEMAILRELAY_GROUP=emailrelay \
 && cmake --build /build \
 && DESTDIR=/staging cmake --install /build --strip \
 && scripts/runtime-packages /staging/usr/sbin/* > /staging/packages

FROM debian:bookworm-slim
COPY --from=build /staging/packages /tmp/packages
RUN apt-get update \
 && xargs -a /tmp/packages apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* /tmp/packages \
 && useradd --system --uid 2525 --home-dir /var/spool/emailrelay --no-create-home emailrelay \
 && install -d -o emailrelay -g emailrelay -m 2770 /var/spool/emailrelay
COPY --from=build /staging/usr/ /usr/

USER 2525:2525
ENV EMAILRELAY_REMOTE_CLIENTS=yes \
    EMAILRELAY_LOG_ADDRESS=yes
VOLUME /var/spool/emailrelay
EXPOSE 10025
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/10025 && read -r -t 5 line <&3 && [[ $line == 220* ]] && printf 'QUIT\\r\\n' >&3"]
ENTRYPOINT ["/usr/sbin/emailrelay", "--env", "--no-daemon", "--log", "--no-syslog", "--port=10025"]
