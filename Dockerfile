# CPU:     docker build -t mindvit .
# Ascend:  docker build -t mindvit:ascend --build-arg BASE_IMAGE=quay.io/ascend/cann:9.1.0-910b-ubuntu22.04-py3.12 .
# docs/installation.md explains how to run it.
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}

# Optional requirement files of requirements/, such as "demo export"; and Debian packages, such as "fonts-noto-cjk" to
# draw class names in Chinese, Japanese or Korean.
ARG EXTRAS=""
ARG PACKAGES=""
ARG USER_ID=1000

# OpenCV needs libgl1 and libglib2.0-0, MindSpore libgomp1. The native kernels for a CPU are built by g++.
# hadolint ignore=DL3008,SC2086
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libgl1 libglib2.0-0 libgomp1 ${PACKAGES} \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/mindvit
# The packages of the requirements change less often than the project, so their layer comes first.
COPY requirements.txt ./
COPY requirements ./requirements
# hadolint ignore=DL3013
RUN set -- -r requirements.txt \
    && for extra in ${EXTRAS}; do set -- "$@" -r "requirements/${extra}.txt"; done \
    && python3 -m pip install --no-cache-dir "$@"

COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE NOTICE ./
COPY configs ./configs
COPY mindvit ./mindvit
RUN python3 -m pip install --no-cache-dir --no-deps .

# In some base images a user has this number already.
RUN mkdir -p /work \
    && (getent passwd "${USER_ID}" > /dev/null || useradd --create-home --uid "${USER_ID}" mindvit) \
    && chown "${USER_ID}" /work
ENV HOME=/work \
    PYTHONUNBUFFERED=1
USER ${USER_ID}
WORKDIR /work

ENTRYPOINT ["mindvit"]
CMD ["--help"]
