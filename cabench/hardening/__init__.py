"""What keeps a run alive: stopping when asked, workers that die, and files that kill the library which reads them."""
