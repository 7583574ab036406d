# The bot in a container: docs/operations.md, "In a container". By default for the CPU; for an NVIDIA card
#   docker build --build-arg BASE=nvidia/cuda:13.0.1-base-ubuntu24.04 --build-arg LOCK=requirements.lock .
# torch brings CUDA itself; NVIDIA's image makes the container toolkit refuse a driver that is too old for it.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS base
# hadolint ignore=DL3008
RUN command -v python3 || (apt-get update && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*)

FROM base AS build
ARG LOCK=requirements-cpu.lock
WORKDIR /src
COPY requirements.lock requirements-cpu.lock ./
RUN python3 -m venv /opt/zimage-bot && /opt/zimage-bot/bin/python -m pip install --no-cache-dir --require-hashes \
    --only-binary :all: -r "${LOCK}"
# For a Ray cluster: its version, as in compose.cluster.yaml. The locks are those of a bot without one.
ARG RAY=
RUN [ -z "${RAY}" ] || /opt/zimage-bot/bin/python -m pip install --no-cache-dir --only-binary :all: "ray==${RAY}"
COPY pyproject.toml setup.py README.md LICENSE ./
COPY bot bot
COPY zimage_engine zimage_engine
COPY migrations migrations
RUN /opt/zimage-bot/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation .

FROM base
RUN useradd --uid 10001 --user-group --home-dir /data --no-create-home --shell /usr/sbin/nologin zimage \
    && install -d -o zimage -g zimage -m 0700 /data /models
COPY --from=build /opt/zimage-bot /opt/zimage-bot
COPY --chmod=0755 deploy/container-run.sh /usr/local/bin/zimage-bot-supervised
# Everything that is written lies in one of the two volumes or in /tmp, so the root file system can be read-only.
ENV PATH=/opt/zimage-bot/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    DATA_DIR=/data \
    HF_HOME=/models \
    METRICS_ADDR=127.0.0.1:9464 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
WORKDIR /data
VOLUME ["/data", "/models"]
# A bot is well once it is connected, which takes seconds; it downloads and loads weights after that.
HEALTHCHECK --interval=30s --timeout=10s --start-period=2m --retries=3 CMD ["zimage-bot", "health"]
ENTRYPOINT ["zimage-bot"]
CMD ["run"]
