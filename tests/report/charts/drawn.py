"""What is read off a picture."""

from __future__ import annotations

from xml.etree import ElementTree as ET

NS = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def classed(svg: ET.Element, kind: str) -> list[ET.Element]:
    """Return the parts of a class, in the order of drawing."""
    return [element for element in svg.iter() if kind in (element.get("class") or "").split()]


def texts(svg: ET.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(f"{NS}text")]


def tips(svg: ET.Element) -> list[str]:
    """Return what marks say where the pointer rests on them."""
    return [mark[0].text or "" for mark in classed(svg, "mark")]


def tick(svg: ET.Element, label: str, axis: str) -> float:
    (text,) = [text for text in svg.iter(f"{NS}text") if text.text == label]
    return float(text.get(axis, ""))
