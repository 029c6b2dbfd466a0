# Basin on the CPU: docker build -t basin . && docker run --rm -p 7860:7860 -v basin:/data basin
FROM python:3.12-slim

# Where torch without CUDA comes from; https://pypi.org/simple has it with CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

RUN useradd --create-home --uid 1000 basin && mkdir /data && chown basin:basin /data
WORKDIR /home/basin/app

COPY requirements.txt constraints.txt ./
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" --constraint constraints.txt --requirement requirements.txt

COPY app.py LICENSE NOTICE ./
COPY app app
COPY merging_core merging_core
COPY assets/zoo assets/zoo
COPY assets/recipes assets/recipes
COPY assets/presets assets/presets
COPY assets/learning assets/learning

ENV BASIN_HOST=0.0.0.0 BASIN_PORT=7860 BASIN_DATA=/data BASIN_CACHE=/data/cache PYTHONUNBUFFERED=1
USER basin
VOLUME /data
EXPOSE 7860
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/', timeout=5)"]
CMD ["python", "app.py"]
