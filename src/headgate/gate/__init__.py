"""Where it is put together: configuration, the stack page, the Gate."""
