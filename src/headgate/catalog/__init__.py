"""What is known of models: prices; later capabilities, limits, retirement. Nothing here touches the network."""
