import Foundation

/// The discrete Fourier transform of real sequences of one length, a power of two.
///
/// Two real values are packed into one complex one; the complex transform is Stockham's, which
/// needs no bit reversal, in passes of radix 4.
struct FourierTransform {
  /// L, a power of two, at least 8.
  let count: Int
  /// e^(−2πik/L) for k in 0..<3L/4.
  private let cosines: [Double]
  private let negativeSines: [Double]

  /// A proved bound on the rounding of one transform: of the error's 2-norm over that of the result,
  /// and of a coefficient's error over Σ |x|.
  ///
  /// With u = 2⁻⁵³: a table entry is off by at most 2.6u (its angle of at most π/4 by 1.4u of itself,
  /// sine and cosine by one place each), a complex product by √5 u more (Brent, Percival, Zimmermann 2007).
  /// A pass of radix 4 adds twice, which moves a result by 2u of what is added, and multiplies once:
  /// at most 6.9u for two binary digits of L, in both measures. Packing two real values into one
  /// complex one adds a product and three sums. 3.5u for each digit and 5u leave room for terms of
  /// second order.
  ///
  /// - SeeAlso: Higham 2002, "Accuracy and Stability of Numerical Algorithms", Theorem 24.2.
  var relativeError: Double { 0x1p-53 * (3.5 * log2(Double(count)) + 5) }

  /// Computes the table.
  ///
  /// - Parameter count: A power of two, at least 8.
  init(count: Int) {
    precondition(count >= 8 && count & (count - 1) == 0, "count is \(count), no power of two")
    self.count = count
    let quarter = count / 4
    var cosines = [Double](repeating: 0, count: 3 * quarter)
    var sines = cosines
    for k in 0...(quarter / 2) {
      let angle = 2 * Double.pi * Double(k) / Double(count)
      let c = cos(angle)
      let s = sin(angle)
      for (index, re, im) in [(k, c, s), (quarter - k, s, c)] {
        cosines[index] = re
        sines[index] = -im
        cosines[index + quarter] = -im
        sines[index + quarter] = -re
        if index < quarter {
          cosines[index + 2 * quarter] = -re
          sines[index + 2 * quarter] = im
        }
      }
    }
    self.cosines = cosines
    negativeSines = sines
  }

  /// Transforms a real sequence.
  ///
  /// - Parameter values: L values.
  /// - Returns: The coefficients 0...L/2: real and imaginary parts.
  func forward(_ values: [Double]) -> (re: [Double], im: [Double]) {
    precondition(values.count == count, "a sequence of \(values.count), not of \(count)")
    let half = count / 2
    var re = [Double](repeating: 0, count: half)
    var im = re
    for j in 0..<half {
      re[j] = values[2 * j]
      im[j] = values[2 * j + 1]
    }
    transform(&re, &im)
    var outRe = [Double](repeating: 0, count: half + 1)
    var outIm = outRe
    for k in 0...half {
      let a = k == half ? 0 : k
      let b = k == 0 ? 0 : half - k
      let sumRe = 0.5 * (re[a] + re[b])
      let sumIm = 0.5 * (im[a] - im[b])
      let difRe = 0.5 * (im[a] + im[b])
      let difIm = -0.5 * (re[a] - re[b])
      let c = cosines[k]
      let s = negativeSines[k]
      outRe[k] = sumRe + c * difRe - s * difIm
      outIm[k] = sumIm + c * difIm + s * difRe
    }
    return (outRe, outIm)
  }

  /// Undoes ``forward(_:)``.
  ///
  /// - Parameters:
  ///   - real: The real parts of the coefficients 0...L/2.
  ///   - imaginary: Their imaginary parts.
  /// - Returns: L real values.
  func inverse(_ real: [Double], _ imaginary: [Double]) -> [Double] {
    let half = count / 2
    var re = [Double](repeating: 0, count: half)
    var im = re
    let scale = 1 / Double(count)
    for k in 0..<half {
      let b = half - k
      let sumRe = real[k] + real[b]
      let sumIm = imaginary[k] - imaginary[b]
      let difRe = real[k] - real[b]
      let difIm = imaginary[k] + imaginary[b]
      let c = cosines[k]
      let s = -negativeSines[k]
      re[k] = scale * (sumRe - (c * difIm + s * difRe))
      im[k] = scale * (sumIm + (c * difRe - s * difIm))
    }
    // Exchanging the parts before and after turns the transform into its inverse.
    transform(&im, &re)
    var values = [Double](repeating: 0, count: count)
    for j in 0..<half {
      values[2 * j] = re[j]
      values[2 * j + 1] = im[j]
    }
    return values
  }

  /// The complex transform of length L/2, unscaled.
  private func transform(_ re: inout [Double], _ im: inout [Double]) {
    let total = count / 2
    var workRe = [Double](repeating: 0, count: total)
    var workIm = workRe
    var length = total
    var stride = 1
    while length >= 4 {
      pass4(re, im, &workRe, &workIm, length, stride)
      swap(&re, &workRe)
      swap(&im, &workIm)
      length /= 4
      stride *= 4
    }
    guard length == 2 else { return }
    for q in 0..<stride {
      let (aRe, aIm, bRe, bIm) = (re[q], im[q], re[q + stride], im[q + stride])
      workRe[q] = aRe + bRe
      workIm[q] = aIm + bIm
      workRe[q + stride] = aRe - bRe
      workIm[q + stride] = aIm - bIm
    }
    swap(&re, &workRe)
    swap(&im, &workIm)
  }

  /// One pass of radix 4 over sub-sequences of a length, `stride` of them side by side.
  private func pass4(
    _ re: [Double], _ im: [Double], _ outRe: inout [Double], _ outIm: inout [Double],
    _ length: Int, _ stride: Int
  ) {
    let quarter = length / 4
    let gap = stride * quarter
    let twiddleStep = 2 * stride
    precondition(re.count == im.count && re.count >= 4 * gap && outRe.count >= re.count)
    precondition(outIm.count >= im.count && cosines.count > 3 * (quarter - 1) * twiddleStep)
    // SAFETY: the buffers live through the closures; every index is below 4 · stride · quarter =
    // re.count or at most 3 · (quarter − 1) · twiddleStep, both checked above.
    unsafe re.withUnsafeBufferPointer { re in
      unsafe im.withUnsafeBufferPointer { im in
        unsafe cosines.withUnsafeBufferPointer { cosines in
          unsafe negativeSines.withUnsafeBufferPointer { sines in
            unsafe outRe.withUnsafeMutableBufferPointer { outRe in
              unsafe outIm.withUnsafeMutableBufferPointer { outIm in
                for p in 0..<quarter {
                  let t = p * twiddleStep
                  let (c1, s1) = unsafe (cosines[t], sines[t])
                  let (c2, s2) = unsafe (cosines[2 * t], sines[2 * t])
                  let (c3, s3) = unsafe (cosines[3 * t], sines[3 * t])
                  let from = stride * p
                  let to = 4 * stride * p
                  if stride >= 4 {
                    var q = 0
                    while q < stride {
                      unsafe FourierTransform.butterfly(
                        SIMD4<Double>.self, re.baseAddress, im.baseAddress, outRe.baseAddress,
                        outIm.baseAddress, from + q, gap, to + q, stride,
                        SIMD4(repeating: c1), SIMD4(repeating: s1), SIMD4(repeating: c2),
                        SIMD4(repeating: s2), SIMD4(repeating: c3), SIMD4(repeating: s3))
                      q += 4
                    }
                  } else {
                    let (aR, aI) = unsafe (re[from], im[from])
                    let (bR, bI) = unsafe (re[from + gap], im[from + gap])
                    let (cR, cI) = unsafe (re[from + 2 * gap], im[from + 2 * gap])
                    let (dR, dI) = unsafe (re[from + 3 * gap], im[from + 3 * gap])
                    let (sumR, sumI, difR, difI) = (aR + cR, aI + cI, aR - cR, aI - cI)
                    let (oddR, oddI, turnR, turnI) = (bR + dR, bI + dI, dI - bI, bR - dR)
                    let (uR, uI) = (difR - turnR, difI - turnI)
                    let (vR, vI) = (sumR - oddR, sumI - oddI)
                    let (wR, wI) = (difR + turnR, difI + turnI)
                    unsafe outRe[to] = sumR + oddR
                    unsafe outIm[to] = sumI + oddI
                    unsafe outRe[to + 1] = uR * c1 - uI * s1
                    unsafe outIm[to + 1] = uR * s1 + uI * c1
                    unsafe outRe[to + 2] = vR * c2 - vI * s2
                    unsafe outIm[to + 2] = vR * s2 + vI * c2
                    unsafe outRe[to + 3] = wR * c3 - wI * s3
                    unsafe outIm[to + 3] = wR * s3 + wI * c3
                  }
                }
              }
            }
          }
        }
      }
    }
  }

  @inline(__always)
  private static func butterfly(
    _ lanes: SIMD4<Double>.Type, _ re: UnsafePointer<Double>?, _ im: UnsafePointer<Double>?,
    _ outRe: UnsafeMutablePointer<Double>?, _ outIm: UnsafeMutablePointer<Double>?,
    _ from: Int, _ gap: Int, _ to: Int, _ stride: Int,
    _ c1: SIMD4<Double>, _ s1: SIMD4<Double>, _ c2: SIMD4<Double>, _ s2: SIMD4<Double>,
    _ c3: SIMD4<Double>, _ s3: SIMD4<Double>
  ) {
    guard let re = unsafe UnsafeRawPointer(re), let im = unsafe UnsafeRawPointer(im),
      let outRe = UnsafeMutableRawPointer(outRe),
      let outIm = UnsafeMutableRawPointer(outIm)
    else { return }
    func load(_ base: UnsafeRawPointer, _ index: Int) -> SIMD4<Double> {
      unsafe base.loadUnaligned(fromByteOffset: 8 * index, as: SIMD4<Double>.self)
    }
    func store(_ value: SIMD4<Double>, _ base: UnsafeMutableRawPointer, _ index: Int) {
      unsafe base.storeBytes(of: value, toByteOffset: 8 * index, as: SIMD4<Double>.self)
    }
    let (aR, aI) = unsafe (load(re, from), load(im, from))
    let (bR, bI) = unsafe (load(re, from + gap), load(im, from + gap))
    let (cR, cI) = unsafe (load(re, from + 2 * gap), load(im, from + 2 * gap))
    let (dR, dI) = unsafe (load(re, from + 3 * gap), load(im, from + 3 * gap))
    let (sumR, sumI, difR, difI) = (aR + cR, aI + cI, aR - cR, aI - cI)
    let (oddR, oddI, turnR, turnI) = (bR + dR, bI + dI, dI - bI, bR - dR)
    let (uR, uI) = (difR - turnR, difI - turnI)
    let (vR, vI) = (sumR - oddR, sumI - oddI)
    let (wR, wI) = (difR + turnR, difI + turnI)
    unsafe store(sumR + oddR, outRe, to)
    unsafe store(sumI + oddI, outIm, to)
    unsafe store(uR * c1 - uI * s1, outRe, to + stride)
    unsafe store(uR * s1 + uI * c1, outIm, to + stride)
    unsafe store(vR * c2 - vI * s2, outRe, to + 2 * stride)
    unsafe store(vR * s2 + vI * c2, outIm, to + 2 * stride)
    unsafe store(wR * c3 - wI * s3, outRe, to + 3 * stride)
    unsafe store(wR * s3 + wI * c3, outIm, to + 3 * stride)
  }
}
