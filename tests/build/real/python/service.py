"""A service of one answer."""
import os

from flask import Flask, jsonify
from markupsafe import _speedups  # the wheel with compiled code, or nothing

app = Flask(__name__)


@app.get("/")
def index():
    return jsonify(user=os.getuid(), compiled=bool(_speedups))
