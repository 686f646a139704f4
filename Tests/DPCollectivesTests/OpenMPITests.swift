import DPCollectives
import Foundation
import TestSupport
import Testing

/// The bits of Open MPI, which was written by others: the same algorithm gives the same bits.
struct OpenMPITests {
  /// Open MPI's numbers of allreduce algorithms (`coll_tuned_allreduce_algorithm`).
  private static let numbers: [(AllReduceAlgorithm, Int)] = [
    (.recursiveDoubling, 3), (.ring, 4), (.halvingDoubling, 6),
  ]

  /// Sums 1,000 numbers over the first 3 and over all 5 ranks, and prints rank 0's bits.
  private static let program = """
    #include <mpi.h>
    #include <math.h>
    #include <stdint.h>
    #include <stdio.h>
    #include <string.h>
    static void sum(MPI_Comm comm) {
      int rank, size;
      MPI_Comm_rank(comm, &rank);
      MPI_Comm_size(comm, &size);
      float x[1000];
      for (uint32_t i = 0; i < 1000; i++) {
        uint32_t u = ((uint32_t)rank * 7919u + i + 1u) * 2654435761u;
        x[i] = ldexpf((float)(int32_t)u, (int)(i % 21) - 31);
      }
      MPI_Allreduce(MPI_IN_PLACE, x, 1000, MPI_FLOAT, MPI_SUM, comm);
      if (rank != 0) return;
      printf("%d", size);
      for (int i = 0; i < 1000; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], 4);
        printf(" %u", bits);
      }
      printf("\\n");
      fflush(stdout);
    }
    int main(int argc, char **argv) {
      MPI_Init(&argc, &argv);
      int rank;
      MPI_Comm_rank(MPI_COMM_WORLD, &rank);
      MPI_Comm three;
      MPI_Comm_split(MPI_COMM_WORLD, rank < 3 ? 0 : MPI_UNDEFINED, rank, &three);
      if (three != MPI_COMM_NULL) sum(three);
      sum(MPI_COMM_WORLD);
      MPI_Finalize();
      return 0;
    }
    """

  /// The same inputs as in the C program.
  private static func inputs(_ ranks: Int) -> [[Float]] {
    (0..<UInt32(ranks)).map { rank in
      (0..<UInt32(1000)).map { index in
        let number = Int32(bitPattern: (rank &* 7919 &+ index &+ 1) &* 2_654_435_761)
        return Float(sign: .plus, exponent: Int(index % 21) - 31, significand: 1) * Float(number)
      }
    }
  }

  /// Runs a command to its end; nil where it cannot be started or fails.
  private func output(_ command: [String]) -> String? {
    let process = Process()
    let pipe = Pipe()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return process.terminationStatus == 0 ? String(decoding: data, as: UTF8.self) : nil
  }

  /// Recursive doubling, ring and Rabenseifner's algorithm at 3 and 5 ranks.
  @Test func forcedAlgorithmsGiveTheBitsThatWereProved() throws {
    guard output(["mpirun", "--version"])?.contains("Open MPI) 4.") == true,
      output(["mpicc", "--showme:version"]) != nil
    else { return print("skipped: Open MPI 4 (libopenmpi-dev, openmpi-bin) is not on this system") }
    let folder = try ScratchFolder()
    let source = try folder.write(OpenMPITests.program, to: "sum.c")
    let program = folder.file("sum")
    try #require(output(["mpicc", "-O1", source, "-o", program, "-lm"]) != nil)
    for (algorithm, number) in OpenMPITests.numbers {
      let text = output([
        "mpirun", "--allow-run-as-root", "--oversubscribe", "--mca", "oob_tcp_if_include", "lo",
        "--mca", "coll_tuned_use_dynamic_rules", "1",
        "--mca", "coll_tuned_allreduce_algorithm", "\(number)", "-n", "5", program,
      ])
      let lines = try #require(text).split(separator: "\n").map { line in
        line.split(separator: " ").compactMap { UInt32($0) }
      }
      #expect(Set(lines.compactMap(\.first)) == [3, 5])
      for line in lines {
        let ranks = Int(try #require(line.first))
        let proof = try ScheduleChecker.check(
          Schedule(.allReduce(algorithm), ranks: ranks, count: 1000))
        let ours = proof.predict(rank: 0, OpenMPITests.inputs(ranks), adding: +)
        #expect(ours.map(\.bitPattern) == Array(line.dropFirst()), "\(algorithm) \(ranks)")
      }
    }
  }
}
