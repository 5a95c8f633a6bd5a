# The project with its environment, for a machine that has a container engine. What is installed, and
# how, stands in the Makefile and in requirements.lock alone.
FROM python:3.11.14-slim-bookworm

# What make needs itself, and git, with which DVC and MLflow tell versions of code.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git make \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --create-home ganlift \
 && install --directory --owner=ganlift /ganlift

USER ganlift
WORKDIR /ganlift
COPY --chown=ganlift . .
RUN --mount=type=cache,target=/home/ganlift/.cache,uid=1000 UV_LINK_MODE=copy make .venv/ready

ENV PATH=/ganlift/.venv/bin:$PATH
CMD ["make", "run"]
