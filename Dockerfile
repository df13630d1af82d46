# docker build -t wasess .      (how to run it: README.md, "Running it for good")
# An image with glibc: neonize has no build for Alpine.
FROM python:3.12-slim AS build
WORKDIR /src
COPY requirements/run.txt requirements/build.txt requirements/
RUN python -m venv /opt/wasess \
 && /opt/wasess/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt \
 && pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY wasess wasess
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
 && /opt/wasess/bin/pip install --no-cache-dir --no-deps dist/*.whl

FROM python:3.12-slim
COPY --from=build /opt/wasess /opt/wasess
RUN useradd --system --uid 990 --shell /usr/sbin/nologin --home-dir /var/lib/wasess wasess \
 && install --directory --mode=700 --owner=wasess --group=wasess /var/lib/wasess /var/lib/wasess/auth_sessions
ENV PATH=/opt/wasess/bin:$PATH
ENV WASESS_HOME=/var/lib/wasess/auth_sessions
USER wasess
WORKDIR /var/lib/wasess
# A volume takes owner and mode of this folder when it is new.
VOLUME ["/var/lib/wasess/auth_sessions"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=60s --timeout=15s --start-period=120s --retries=2 CMD ["wasess", "verify", "--all", "--quiet"]
CMD ["wasess", "serve"]
