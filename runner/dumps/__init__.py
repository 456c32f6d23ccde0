"""What a chip's dump holds against the values that were written beside a deploy file: names, layouts, differences."""
