"""The items that changed as people look at them: photos with boxes, masks side by side, texts with what differs."""
