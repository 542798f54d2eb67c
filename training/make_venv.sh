#!/bin/bash
# The Python environment of training/: a CPU-only PyTorch from PyPI's wheel, without its 2.4 GB of GPU libraries.
# usage: ./make_venv.sh [VENV]        (default /tmp/venv; 1.7 GB; gcc, binutils and python3-venv needed)
set -e
venv=${1:-/tmp/venv}
here=$(dirname "$(readlink -f "$0")")
[ -d "$venv" ] || python3 -m venv "$venv"
"$venv/bin/pip" install -q --no-deps torch==2.15.0 nvidia-cuda-runtime==13.2.86 nvidia-cuda-cupti==13.2.86 nvidia-cufile==1.17.1.22
"$venv/bin/pip" install -q transformers==5.23.0 tokenizers==0.23.3 safetensors numpy gguf \
  filelock typing-extensions sympy networkx jinja2 fsspec "setuptools>=77.0.3"
"$venv/bin/python" "$here/stub_cuda.py"
"$venv/bin/python" -c "import torch; a = torch.randn(8, 8, requires_grad=True); (a @ a).sum().backward(); print('torch', torch.__version__, 'works')"
