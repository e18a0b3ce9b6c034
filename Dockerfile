# One image for every part of the platform: `docker run IMAGE api | worker | sweeper | migrate | train | ...`.
# It builds with BuildKit and with the classic builder, so it uses neither heredocs nor RUN --mount.

FROM python:3.11-slim-bookworm AS packages

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/venv

# Wheels alone, each with its hash, as there is no compiler here.
COPY requirements/image.txt /build/requirements.txt
RUN /opt/venv/bin/pip install --quiet --no-compile --require-hashes --only-binary :all: -r /build/requirements.txt


# The platform apart from its packages: a change of the source then makes a layer of one megabyte, not of four hundred.
FROM packages AS platform

COPY pyproject.toml README.md LICENSE /build/
COPY src /build/src
RUN /opt/venv/bin/pip install --quiet --no-deps --no-build-isolation --target /opt/platform /build


FROM packages AS trimmed

# What no running platform opens: the packages' own tests, sources of compiled modules, type stubs, tools that convert
# models, and ONNX Runtime's library for C programs (its Python module carries its own copy). A fifth of
# the image. Modules are compiled only where something imports them. LightGBM asks the system for the OpenMP library that
# scikit-learn brings, so it gets that one: two of them in one process would take twice the threads.
RUN /opt/venv/bin/pip uninstall --quiet --yes setuptools pip \
 && cd "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
 && find . -depth -type d \( -name tests -o -path ./onnx/backend/test \) -exec rm -rf {} + \
 && find . -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.h' -o -name '*.c' -o -name '*.cc' \) -delete \
 && rm -rf onnxruntime/capi/libonnxruntime.so.* onnxruntime/transformers onnxruntime/tools onnxruntime/quantization \
 && ln -s "$PWD"/scikit_learn.libs/libgomp-*.so.* /opt/venv/lib/libgomp.so.1 \
 && LD_LIBRARY_PATH=/opt/venv/lib /opt/venv/bin/python -c 'import alembic.command, celery.bin.worker, celery.concurrency.prefork, \
      fastapi_offline, httptools, kombu.transport.redis, lightgbm, msgspec, onnx.helper, onnxruntime, orjson, prometheus_client, psutil, \
      psycopg_pool, pydantic_settings, redis.asyncio, rich.progress, rich.table, sklearn.compose, sklearn.datasets, \
      sklearn.ensemble, sklearn.linear_model, sklearn.model_selection, sklearn.pipeline, skops.io, sqlalchemy.dialects.postgresql, \
      structlog, typer, uvicorn.protocols.http.httptools_impl, uvloop, xgboost' \
 && echo /opt/platform >"$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/platform.pth"


FROM python:3.11-slim-bookworm

# The folders exist with their owner, because a named volume that is empty takes both over when it is first mounted.
RUN groupadd --gid 10001 platform \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin platform \
 && install -d -o platform -g platform -m 0755 /var/lib/ai-platform /var/lib/ai-platform/keys \
 && install -d -o platform -g platform -m 0700 /var/lib/ai-platform/signing

COPY --from=trimmed /opt/venv /opt/venv
COPY --from=platform /opt/platform /opt/platform
COPY deploy/secrets/make_secrets.py /opt/ai-platform/make_secrets.py

# Nothing is written but to /tmp, so that the root file system can be read-only.
ENV PATH=/opt/platform/bin:/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LD_LIBRARY_PATH=/opt/venv/lib \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    AI_PLATFORM_DATA_DIR=/tmp/ai-platform \
    AI_PLATFORM_MODELS__TRUSTED_KEYS_DIR=/var/lib/ai-platform/keys \
    AI_PLATFORM_MODELS__SIGNING_KEY_FILE=/var/lib/ai-platform/signing/signing.pem

USER 10001:10001
WORKDIR /tmp
EXPOSE 8000

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="AI Platform" \
      org.opencontainers.image.description="A self-hosted machine-learning prediction platform" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

# No init inside: Docker has one (`init: true`, `docker run --init`), which needs no package from anywhere.
ENTRYPOINT ["ai-platform"]
CMD ["--help"]
