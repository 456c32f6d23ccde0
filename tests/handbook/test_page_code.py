"""Code blocks and statements as they are read off a page."""

from __future__ import annotations

from tests.handbook.page_code import Block, blocks, statements

PAGE = """\
# Title

Keep it in `myconf/experiment/net.yaml`:

```yaml
target_loss: 1
```

* A list, with

  ```sh
  python -m runner \\
      seed=1
  ```

      python -m runner seed=2   # why

      plan 0: 0 layers float

Text.

    quant-check-deploy net.onnx

```python
# my_class.py
x = 1
```

```text
python -m runner is not run here
```
"""


def test_blocks_come_in_their_order_with_kind_and_file() -> None:
    assert blocks(PAGE) == [
        Block("yaml", "target_loss: 1\n", "myconf/experiment/net.yaml"),
        Block("sh", "python -m runner \\\n    seed=1\n"),
        Block("sh", "python -m runner seed=2   # why\n"),
        Block("sh", "quant-check-deploy net.onnx\n"),
        Block("python", "# my_class.py\nx = 1\n", "my_class.py"),
        Block("text", "python -m runner is not run here\n"),
    ]


def test_statements_keep_what_belongs_together() -> None:
    text = """$ pip install -e . && python -m runner seed=1
# a comment
python -c "
x = 'a && b'
print(x)"
python -m runner \\
    seed=2 || echo "$?"
"""
    assert list(statements(text)) == [
        "pip install -e .",
        "python -m runner seed=1",
        "python -c \"\nx = 'a && b'\nprint(x)\"",
        'python -m runner \\\n    seed=2 || echo "$?"',
    ]
