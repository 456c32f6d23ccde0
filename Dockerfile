# quant-runner in a container, built from a checkout:
#
#   docker build -t quant-runner .
#   docker run --rm -v "$PWD:/job" --user "$(id -u):$(id -g)" quant-runner mode=acc_auto target_loss=0.2
#
# /job is the directory of the command: models and data are read there, and results come into /job/outputs.

FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY conf conf
COPY data/digits data/digits
COPY model model
COPY runner runner
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.12-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links=/wheels onnx-quant-runner
# Any user may be named with --user, also one that the container does not know, so nothing is written at home.
ENV HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib
RUN useradd --no-create-home --uid 1000 runner && mkdir /job && chown runner /job
USER runner
WORKDIR /job
VOLUME /job
ENTRYPOINT ["quant-runner"]
