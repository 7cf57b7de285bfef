# docker build --target cpu -t streamer .          docker build --target cuda -t streamer:cuda .
#
# docker run --network host --shm-size 1g -e STREAMER_TOKEN=... streamer
#
# The host's network, as WebRTC names the addresses it is reached at, and those of a container
# are nobody else's. docs/cluster.md has the rest.

FROM python:3.12-slim AS wheel
WORKDIR /source
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY models models
COPY web web
COPY streamer streamer
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim AS base
RUN useradd --create-home --uid 1000 streamer
COPY constraints.txt /tmp/constraints.txt
COPY --from=wheel /wheels /wheels
# One token for the server, in every request; the health check sends it too.
ENV STREAMER_DATA_DIR=/home/streamer/data \
    RAY_USAGE_STATS_ENABLED=0 \
    PYTHONUNBUFFERED=1
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=2m CMD ["python", "-c", "import os, urllib.request as http; http.urlopen(http.Request('http://127.0.0.1:8000/readyz', headers={'Authorization': 'Bearer ' + os.environ['STREAMER_TOKEN']}), timeout=4)"]
ENTRYPOINT ["streamer"]
CMD ["serve", "--host", "0.0.0.0", "--no-browser"]

# Torch's wheels bring CUDA; the driver comes from the host: docker run --gpus all.
FROM base AS cuda
RUN python -m pip install --no-cache-dir --constraint /tmp/constraints.txt \
    "$(echo /wheels/*.whl)[torch]"
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
USER streamer
WORKDIR /home/streamer
CMD ["serve", "--host", "0.0.0.0", "--no-browser", "--backend", "torch"]

FROM base AS cpu
RUN python -m pip install --no-cache-dir --constraint /tmp/constraints.txt /wheels/*.whl
USER streamer
WORKDIR /home/streamer
