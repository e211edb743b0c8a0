"""What backends share: faces, arrays of any library, layouts, the numbers of smoothing; imports no backend."""
