# vatrace on the CPU, without a network and without root:
#   docker build -t vatrace .
#   docker run --rm --network none -v "$PWD:/data" --user "$(id -u):$(id -g)" vatrace predict talk.mp4
FROM python:3.12-slim
WORKDIR /opt/vatrace
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m venv /opt/venv
RUN /opt/venv/bin/pip install --no-cache-dir '.[analysis,formats,languages,lsl,offline,web]'
RUN useradd --create-home --uid 10001 vatrace && mkdir -p /data && chown vatrace /data
ENV PATH=/opt/venv/bin:$PATH HF_HUB_OFFLINE=1 MPLCONFIGDIR=/tmp/matplotlib XDG_DATA_HOME=/tmp
USER vatrace
WORKDIR /data
ENTRYPOINT ["vatrace"]
CMD ["--help"]
