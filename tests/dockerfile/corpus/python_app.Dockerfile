FROM python:3.12-slim AS base
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=off

FROM base AS wheels
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    pip wheel --wheel-dir /wheels -r <(echo "flask==3.*")

FROM base
RUN groupadd --gid 1000 app \
 && useradd --uid 1000 --gid app --create-home app
COPY --from=wheels --chown=app:app /wheels /wheels
RUN pip install /wheels/*.whl
WORKDIR /home/app
COPY --chown=app . .
USER app
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=2s CMD python -c "import urllib.request as r; r.urlopen('http://localhost:5000')"
CMD ["gunicorn", "--bind", "0.0.0.0:5000", "app:app"]
