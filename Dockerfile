# docker build -t cabench .
# docker run --rm -v "$PWD:/work" -v cabench-cache:/cache cabench run --methods sepclr,mmcvae
FROM python:3.12-slim
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY cabench cabench
COPY methods methods
COPY datasets datasets
RUN pip install --no-cache-dir .
ENV CABENCH_CACHE=/cache
WORKDIR /work
VOLUME ["/cache", "/work"]
ENTRYPOINT ["cabench"]
