"""Tools and file references that look into folders, and nowhere else."""
